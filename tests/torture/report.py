"""The table at the end, and what failed, with how to repeat it."""

from __future__ import annotations

import time
from collections import Counter

from .groups import Group
from .scenario import Scenario

COLUMNS = ("tried", "died", "accepted", "lost", "twice", "back", "index", "faults")
TITLES = ("tried", "died", "accepted", "lost", "ran twice", "came back", "index differs", "other faults")
_FEW = 3
"""So many hosts may all survive by chance."""
_FAULTY = ("lost", "twice", "back", "index", "faults")


class Report:
    """Counts by group."""

    def __init__(self, groups: list[Group]) -> None:
        self._counts: dict[str, Counter[str]] = {group.name: Counter() for group in groups}
        self._groups = groups
        self._started = time.monotonic()
        self.not_started = 0

    def add(self, group: Group, seed: int, scenario: Scenario) -> None:
        """Count `scenario`, and print what was wrong with it."""
        counts, findings = self._counts[group.name], scenario.findings
        counts["scenarios"] += 1
        counts.update(tried=scenario.tried, died=scenario.died, accepted=scenario.accepted)
        counts.update(column for column, _ in findings)
        seconds = time.monotonic() - self._started
        verdict = "FAILED" if list(findings) else "ok"
        print(f"{seconds:6.1f} s  {group.name} --seed {seed}: {verdict}", flush=True)
        for column, sentence in findings:
            print(f"    {column}: {sentence}", flush=True)
        if list(findings):
            print("    " + "\n    ".join(scenario.notes))
            print(f"    files: {scenario.folder}")
            print(f"    again: make torture ARGS='--only {group.name} --seed {seed}'", flush=True)

    def table(self) -> str:
        """In Markdown."""
        rows = [("scenario group", *TITLES), ("---", *["---:"] * len(TITLES))]
        rows += [
            (name, *(str(counts[each]) for each in COLUMNS))
            for name, counts in self._counts.items()
            if counts
        ]
        total = sum(self._counts.values(), Counter())
        rows.append(("all", *(str(total[each]) for each in COLUMNS)))
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        end = f"{total['scenarios']} scenarios in {time.monotonic() - self._started:.0f} s"
        return "\n".join([*lines, "", end + (f"; {self.not_started} not begun" if self.not_started else "")])

    def is_good(self) -> bool:
        """Whether nothing was wrong, and each group that was run did what it is there for."""
        idle = [group.name for group in self._groups if group.must_die and self._is_idle(group)]
        for name in idle:
            print(f"No host died in the group {name}: it has tested nothing.")
        return not idle and not any(counts[each] for counts in self._counts.values() for each in _FAULTY)

    def _is_idle(self, group: Group) -> bool:
        counts = self._counts[group.name]
        return counts["tried"] > _FEW and not counts["died"]
