"""What a job needs and what a process offers, in the same terms, which SQL compares. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...functions.registry import Functions
from ...model.job import ExecutionMode, InterpreterName, Submission

_LABEL, _FUNCTION, _INTERPRETER = "label ", "function ", "interpreter "


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What a process without HTTP is: its name, its labels, and the jobs that it runs at once, by mode."""

    name: str
    labels: tuple[str, ...] = ()
    places: Mapping[ExecutionMode, int]


@dataclass(frozen=True, slots=True)
class Offer:
    """What one process that lives can run: jobs of these `slots`, which need no more than `offers`."""

    slots: frozenset[str]
    offers: frozenset[str]


def needs_of(submission: Submission) -> list[str]:
    """What whoever runs this job has to offer, all of it."""
    needs = [_LABEL + label for label in submission.labels]
    if submission.function is not None:
        needs.append(_FUNCTION + _function_ref(submission.function, submission.function_version))
    elif submission.interpreter is not None:
        needs.append(_INTERPRETER + submission.interpreter)
    return sorted(needs)


def offers_of(
    labels: Iterable[str], functions: Functions, interpreters: Iterable[InterpreterName]
) -> list[str]:
    """What a process offers that has these. A function also goes by its old names."""
    found = {_LABEL + label for label in labels} | {_INTERPRETER + name for name in interpreters}
    for function in functions:
        for name in (function.name, *function.options.old_names):
            found |= {_FUNCTION + _function_ref(name, version) for version in (None, function.version)}
    return sorted(found)


def function_names(offers: Iterable[str]) -> frozenset[str]:
    """The names of the functions among what processes offer, old names included."""
    found = (offer.removeprefix(_FUNCTION) for offer in offers if offer.startswith(_FUNCTION))
    return frozenset(name for name in found if "@" not in name)


def interpreters_in(offers: Iterable[str]) -> frozenset[InterpreterName]:
    """The interpreters among what is offered, of those that this release knows."""
    return frozenset(name for name in InterpreterName if _INTERPRETER + name in set(offers))


def waiting_for(needs: Collection[str], slot: str, living: Sequence[Offer]) -> str | None:
    """What a job waits for that none of those who live can run, as a sentence; ``None`` when one can."""
    able = [each for each in living if slot in each.slots]
    if any(each.offers.issuperset(needs) for each in able):
        return None
    if not able:
        return f"No worker that runs now takes jobs of the kind {slot}. The job waits until one does."
    offered = frozenset().union(*(each.offers for each in able))
    by_all = frozenset(needs).intersection(*(each.offers for each in able))
    missing = sorted(need for need in needs if need not in offered)
    what = [_said(need) for need in missing or sorted(set(needs) - by_all)]
    together = "" if missing else " together"
    return f"No worker that runs now has {' and '.join(what)}{together}. The job waits until one does."


def _function_ref(name: str, version: str | None) -> str:
    return name if version is None else f"{name}@{version}"


def _said(need: str) -> str:
    kind, _, name = need.partition(" ")
    if kind != "function":
        return f"the {kind} {name}"
    function, _, version = name.partition("@")
    return f"the function {function} in its version {version}" if version else f"the function {function}"
