"""Counters shared by the processes on a data folder: one file, ``Metrics/numbers.json``.

Jobs can write to it, so anything that is not a number is ignored. All calls block.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...system.atomic import mend_folder, put_file
from ...system.guarded_files import LOCK_SECONDS, UnreadableFileError, is_folder, locked, read_file, set_aside
from ...system.jsontext import dumps, loads
from ..base import NumbersOfAll

_LARGEST = 1024 * 1024
_COUNTED, _PROCESSES, _TURN, _PRESENT = "Counted", "Processes", "Turn", "Present"
_logger = logging.getLogger(__name__)


class NumberFile:
    """The `SharedNumbers` below `base`; `running` has a folder for each live process, `me` is this process.

    Not synced: a power cut may lose the last counts, or all of them, as if every counter had started at zero.
    """

    def __init__(self, base: Path, running: Path, me: Callable[[], str]) -> None:
        self._folder = base / "Metrics"
        self._path = self._folder / "numbers.json"
        self._running = running
        self._me = me

    def exchange(self, turn: int, counted: Mapping[str, float], present: Mapping[str, float]) -> NumbersOfAll:
        mend_folder(self._folder)
        me = self._me()
        with locked(self._folder / ".lock", LOCK_SECONDS):
            sums, processes = self._read()
            if processes.get(me, (0, {}))[0] < turn:
                for name, number in counted.items():
                    sums[name] = sums.get(name, 0.0) + number
            living = {name: each for name, each in processes.items() if is_folder(self._running / name)}
            living[me] = turn, dict(present)
            put_file(self._path, dumps(_record(sums, living)))
        return NumbersOfAll(sums, [numbers for _, numbers in living.values()])

    def _read(self) -> tuple[dict[str, float], dict[str, tuple[int, dict[str, float]]]]:
        """What all have counted, and the turn of each process with what it said of itself."""
        try:
            kept = loads(read_file(self._path, _LARGEST))
        except FileNotFoundError:
            return {}, {}
        except (UnreadableFileError, ValueError) as error:
            _logger.error("What was counted until now cannot be read, and counting begins anew: %s", error)
            set_aside(self._path, "the numbers of all processes belong there")
            return {}, {}
        kept = _object(kept)
        processes = {name: _object(each) for name, each in _object(kept.get(_PROCESSES)).items()}
        return _numbers(kept.get(_COUNTED)), {
            name: (int(_number(each.get(_TURN))), _numbers(each.get(_PRESENT)))
            for name, each in processes.items()
            if "/" not in name
        }


def _record(
    counted: Mapping[str, float], processes: Mapping[str, tuple[int, Mapping[str, float]]]
) -> dict[str, Any]:
    return {
        _COUNTED: counted,
        _PROCESSES: {name: {_TURN: turn, _PRESENT: numbers} for name, (turn, numbers) in processes.items()},
    }


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _numbers(value: Any) -> dict[str, float]:
    return {name: _number(number) for name, number in _object(value).items()}


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and value >= 0 else 0.0
