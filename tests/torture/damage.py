"""Torn and flipped bytes in the files of a data folder whose host is down."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .scenario import Scenario

Harm = Callable[[Scenario], None]

KINDS = (
    "JobSubmission/*/*.json",
    "JobOutput/*.json",
    "JobOutput/*.log/*",
    "JobOutput/.deleted",
    "JobResults/*.json",
    "Running/*/jobs/*/log/*",
    "Running/*/journal.*",
    "Schedules/*.json",
    "Schedules/firing/*",
    "Templates/*.json",
    "Sessions/*/*.json",
    "Secrets/deleted-jobs",
)
"""Files of which a damaged one must not cost more than what was in it."""
_SAME = {"JobOutput/.deleted", "Secrets/deleted-jobs"}
"""What one of these has lost is put back from the other."""
_JOURNAL = "Running/*/journal.*"
"""Is read after a power cut alone, so that a damaged one costs nothing here."""
_JOB_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def harm_file(path: Path, chance: random.Random) -> str:
    """Tear `path`, or flip a bit of it; what was done."""
    data = bytearray(path.read_bytes())
    how = chance.choice(("emptied", "torn", "flipped", "zeroed"))
    if how == "emptied" or not data:
        path.write_bytes(b"")
        return "emptied"
    place = chance.randrange(len(data))
    if how == "torn":
        path.write_bytes(data[:place])
    elif how == "flipped":
        data[place] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
    else:
        data[place : place + 512] = bytes(len(data[place : place + 512]))
        path.write_bytes(data)
    return how


def harm_files(scenario: Scenario) -> None:
    """Harm one file of each of some kinds, and excuse the jobs that they are about."""
    kinds = scenario.chance.sample(KINDS, 4)
    if set(kinds) >= _SAME:
        kinds.remove(scenario.chance.choice(sorted(_SAME)))
    for kind in kinds:
        paths = sorted(path for path in scenario.base.glob(kind) if path.is_file())
        if paths:
            path = scenario.chance.choice(paths)
            if kind != _JOURNAL:
                _excuse(scenario, path)
            how = harm_file(path, scenario.chance)
            scenario.note(f"{how}: {path.relative_to(scenario.base)}")


def _excuse(scenario: Scenario, path: Path) -> None:
    """The job that `path` is about, by what is in it or by its name, and the schedule."""
    text = path.read_text(errors="replace") + " " + str(path)
    scenario.ledger.excused_ids.update(_JOB_ID.findall(text))
    for job in scenario.ledger.jobs.values():
        if job.token in text or (job.job_id and job.job_id in text):
            job.is_excused = True
    if "Templates" in path.parts:
        scenario.ledger.excuse_kind("template")
    if "Schedules" in path.parts:
        with suppress(ValueError, KeyError):
            scenario.ledger.schedules.pop(json.loads(path.read_bytes())["ScheduleID"], None)


def harm_index(scenario: Scenario) -> None:
    """The index of results, which is derived: damaged, cut short, gone, or another file in its place."""
    paths = sorted(scenario.base.glob("results.index.sqlite3*"))
    how = scenario.chance.choice(("harm", "harm", "remove", "remove one", "nonsense"))
    scenario.note(f"index: {how}")
    for path in paths if how == "remove" else [scenario.chance.choice(paths)] if paths else []:
        if how == "harm":
            scenario.note(f"{harm_file(path, scenario.chance)}: {path.name}")
        elif how == "nonsense":
            path.write_bytes(scenario.chance.randbytes(5000))
        else:
            path.unlink()
