"""Checks the machine: interpreters, Python and libraries, and the limits of this user."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from ..errors import ConfigurationError
from ..model.job import InterpreterName
from ..system.operating_system import require_supported_system
from ..worker.interpreters import OLDEST_POWERSHELL, find_interpreters
from .finding import Finding, Status

_NEEDED_FILES = 1024
_NEEDED_WATCHES = 1024
_ASKING_SECONDS = 30.0
_REQUIREMENT = re.compile(r"([\w.-]+)\s*>=\s*([\d.]+)\s*(;.*)?")


def machine_findings() -> Iterator[Finding]:
    """Check this machine, if hosts can run on it. Blocks, for some seconds at most."""
    try:
        require_supported_system()
    except ConfigurationError as error:
        yield Finding("operating_system", Status.PROBLEM, str(error))
        return
    yield from _interpreters()
    yield _python()
    yield _dependencies()
    yield _sqlite()
    yield from _open_files()
    yield from _inotify()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield Finding(
            "user",
            Status.WARNING,
            "This command runs as root. A host that does so runs its users' commands as root too.",
            "Run the host, and this command, as a user of its own.",
        )


def _interpreters() -> Iterator[Finding]:
    found = find_interpreters()
    for name in InterpreterName:
        check = f"interpreter_{name.value}"
        interpreter = found.get(name)
        if interpreter is None:
            sought = " (there is no pwsh on the PATH)" if name is InterpreterName.POWERSHELL else ""
            yield Finding(check, Status.OK, f"{name.value} is not installed{sought}; jobs cannot ask for it.")
        elif name is InterpreterName.POWERSHELL:
            yield _powershell(check, interpreter.prefix[0])
        else:
            version = platform.python_version() if name is InterpreterName.PYTHON else ""
            yield Finding(
                check, Status.OK, f"{name.value} is {interpreter.prefix[0]} {version}".strip() + "."
            )


def _powershell(check: str, program: str) -> Finding:
    version, fault = _asked(program)
    numbers = tuple(_numbers(version))
    if fault is None and not numbers:
        fault = "it does not tell its version"
    if fault is not None:
        advice = "Install it anew, or take it from the PATH."
        return Finding(check, Status.PROBLEM, f"{program} does not work: {fault}.", advice)
    if numbers < OLDEST_POWERSHELL:
        oldest = ".".join(map(str, OLDEST_POWERSHELL))
        return Finding(
            check,
            Status.PROBLEM,
            f"{program} is PowerShell {version}, which is too old: jobs in it fail.",
            f"Install PowerShell {oldest} or newer, or take it from the PATH.",
        )
    return Finding(check, Status.OK, f"powershell is {program} {version}.")


def _asked(program: str) -> tuple[str, str | None]:
    """What the program says to ``--version``, or else why it does not."""
    try:
        ended = subprocess.run(  # noqa: S603 - the interpreter that jobs run with
            [program, "--version"], capture_output=True, text=True, timeout=_ASKING_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return "", str(error).rstrip(".")
    return ended.stdout.strip()[:100].removeprefix("PowerShell "), None


def _python() -> Finding:
    shown = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    return Finding("python", Status.OK, f"{shown}, {sys.executable}.")


def _dependencies() -> Finding:
    missing, shown = [], []
    for requirement in metadata.requires("aiohttp-jobs") or ():
        found = _REQUIREMENT.match(requirement)
        if found is None or "extra" in (found[3] or "") or not _is_for_here(found[3] or ""):
            continue
        version = _version(found[1])
        shown.append(f"{found[1]} {version}")
        if version is None or _numbers(version) < _numbers(found[2]):
            missing.append(f"{found[1]} {found[2]} or newer (there is {version or 'none'})")
    if missing:
        advice = "Install aiohttp-jobs anew with pip."
        return Finding("dependencies", Status.PROBLEM, f"Needed are {', '.join(missing)}.", advice)
    return Finding("dependencies", Status.OK, f"aiohttp-jobs {_version('aiohttp-jobs')}, {', '.join(shown)}.")


def _is_for_here(marker: str) -> bool:
    wanted = re.search(r"sys_platform\s*==\s*[\"'](\w+)", marker)
    return wanted is None or wanted[1] == sys.platform


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> list[int]:
    released, *_ = re.split(r"[^\d.]", version, maxsplit=1)
    numbers = [int(number) for number in released.split(".") if number]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers


def _sqlite() -> Finding:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    except sqlite3.OperationalError:
        advice = "Use a Python whose SQLite has it, as those of Debian and python.org do."
        return Finding("sqlite", Status.PROBLEM, "SQLite has no FTS5, which searching needs.", advice)
    finally:
        connection.close()
    return Finding("sqlite", Status.OK, f"SQLite {sqlite3.sqlite_version}, with FTS5.")


def _open_files() -> Iterator[Finding]:
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _NEEDED_FILES:
        yield Finding("open_files", Status.OK, f"{_shown(soft)} files may be open at once here.")
        return
    yield Finding(
        "open_files",
        Status.WARNING,
        f"{soft} files may be open at once here (at most {_shown(hard)}).",
        f"Raise the host's limit to {_NEEDED_FILES} or more: LimitNOFILE in systemd, or 'ulimit -n'.",
    )


def _shown(limit: int) -> str:
    return "Any number of" if limit < 0 else str(limit)


def _inotify() -> Iterator[Finding]:
    if not sys.platform.startswith("linux"):
        return
    from inotify_simple import INotify  # noqa: PLC0415 - loads libc, which only Linux has so

    advice = "Raise fs.inotify.max_user_instances and fs.inotify.max_user_watches with sysctl."
    slower = "files that other programs drop are then found every poll_interval only"
    try:
        INotify().close()
    except OSError as error:
        message = f"inotify cannot be used ({error.strerror}); {slower}."
        yield Finding("inotify", Status.WARNING, message, advice)
        return
    watches = _number_in(Path("/proc/sys/fs/inotify/max_user_watches"))
    if watches is not None and watches < _NEEDED_WATCHES:
        message = f"This user may watch {watches} folders, and each user of the host takes one; {slower}."
        yield Finding("inotify", Status.WARNING, message, advice)
        return
    yield Finding("inotify", Status.OK, f"inotify works; {watches} folders may be watched.")


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
