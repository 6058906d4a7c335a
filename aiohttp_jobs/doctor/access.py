"""Checks who else can reach the data folder: owners, permissions and links, from the root down.

Used at start-up, which is refused for problems, and by ``aiohttp-jobs doctor``. Reads only folders and file
metadata. ACLs count as far as they show in the group's permissions.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from ..system.app_folder import APP_FOLDER
from .finding import Finding, Status
from .people import (
    HAS_PEOPLE,
    Reach,
    described_group,
    described_user,
    group_reach,
    is_trusted,
    user_name,
)

CHECK = "data_folder_access"
_MOST_LINKS = 40
_DROP_FOLDER = "JobSubmission"
_SECRETS = "Secrets"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file or folder, with its state; of a link, its own."""

    path: Path
    state: os.stat_result

    @property
    def shown(self) -> str:
        return quote(str(self.path))

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.state.st_mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.state.st_mode)

    @property
    def noun(self) -> str:
        return "link" if self.is_link else "folder" if self.is_folder else "file"


def access_faults(data_dir: Path, *, allow_unsigned: bool = False) -> list[Finding]:
    """What lets other users read secrets of the data folder, write to it, or replace it.

    `allow_unsigned`: unsigned submission files are run, so no other user may create any. Never raises; what
    does not exist yet is skipped. Blocks.
    """
    if not HAS_PEOPLE:
        return []
    data_dir = data_dir.absolute()
    base = data_dir / APP_FOLDER
    top = os.path.realpath(data_dir)
    own = {top, *(os.path.realpath(path) for path in _between(data_dir, base))}
    found: list[Finding] = []
    try:
        for entry in _way_to(base):
            if entry.is_link:
                found += _link_faults(entry)
            elif str(entry.path) in own:
                is_top = str(entry.path) == top
                found += [*_owner_faults(entry), *_write_faults(entry, sticky_is_safe=is_top)]
            else:
                found += [*_parent_owner_faults(entry), *_write_faults(entry, sticky_is_safe=True)]
        found += _content_faults(base, allow_unsigned=allow_unsigned)
        found += _secrets_faults(base / _SECRETS)
    except OSError as error:
        found.append(_problem(f"{error.filename} cannot be looked at: {error.strerror}.", "Check its owner."))
    return found


def _between(data_dir: Path, base: Path) -> Iterator[Path]:
    while base != data_dir:
        yield base
        base = base.parent


def _way_to(path: Path) -> Iterator[_Entry]:
    """Each folder and link that is passed on the way to `path`, and `path`, as far as they exist."""
    at, links = Path(path.anchor), 0
    yield _Entry(at, os.lstat(at))
    ahead = list(reversed(path.parts[1:]))
    while ahead:
        name = ahead.pop()
        if name == "..":
            at = at.parent
            continue
        try:
            entry = _Entry(at / name, os.lstat(at / name))
        except (FileNotFoundError, NotADirectoryError):
            return
        yield entry
        if not entry.is_link:
            at = entry.path
            continue
        links += 1
        if links > _MOST_LINKS:
            return
        target = Path(os.readlink(entry.path))
        if target.is_absolute():
            at = Path(target.anchor)
        ahead += reversed(target.parts[1:] if target.is_absolute() else target.parts)


def _link_faults(entry: _Entry) -> Iterator[Finding]:
    owner = entry.state.st_uid
    if not is_trusted(owner):
        yield _problem(
            f"The link {entry.path} belongs to {described_user(owner)}, who can point it elsewhere.",
            f"Run 'chown -h {_me()} {entry.shown}', or give the data folder's path without it",
        )


def _parent_owner_faults(entry: _Entry) -> Iterator[Finding]:
    owner = entry.state.st_uid
    if is_trusted(owner):
        return
    message = f"The folder {entry.path} belongs to {described_user(owner)}, "
    if user_name(owner) is None:
        # A folder of the machine's that is mounted in a container, or a namespace without that user.
        yield _warning(
            message + "who is not known on this machine, and who could put another data folder in this "
            "one's place.",
            f"If somebody can sign in as that user, run 'chown {_me()} {entry.shown}'",
        )
    else:
        yield _problem(
            message + "who can put another data folder in this one's place.",
            f"Run 'chown {_me()} {entry.shown}', or choose another data folder",
        )


def _owner_faults(entry: _Entry) -> Iterator[Finding]:
    owner = entry.state.st_uid
    if not is_trusted(owner):
        yield _problem(
            f"The {entry.noun} {entry.path} belongs to {described_user(owner)}, not to "
            f"{described_user(os.geteuid())}.",
            f"Run '{'chown -R' if entry.is_folder else 'chown'} {_me()} {entry.shown}', or start the host as "
            "its owner",
        )


def _write_faults(entry: _Entry, *, sticky_is_safe: bool = False) -> Iterator[Finding]:
    if sticky_is_safe and entry.state.st_mode & stat.S_ISVTX:
        return  # as in /tmp: others can add to it, but not take away or rename what is somebody's
    yield from _permission_faults(entry, "written", stat.S_IWGRP, stat.S_IWOTH, take="w")


def _permission_faults(
    entry: _Entry, done: str, group_bits: int, others_bits: int, *, take: str
) -> Iterator[Finding]:
    """`done` says what the bits allow to be done with it, `take` what chmod takes away to mend it."""
    mode = entry.state.st_mode
    reach = group_reach(entry.state.st_gid) if mode & group_bits else Reach.NOBODY_ELSE
    who = described_group(entry.state.st_gid)
    if mode & others_bits:
        yield _problem(
            f"The {entry.noun} {entry.path} may be {done} by every user of this machine.",
            f"Run 'chmod go-{take} {entry.shown}'",
        )
    elif reach is Reach.OTHERS:
        yield _problem(
            f"The {entry.noun} {entry.path} may be {done} by {who}, which others are in.",
            f"Run 'chmod g-{take} {entry.shown}'",
        )
    elif reach is Reach.UNKNOWN:
        yield _warning(
            f"The {entry.noun} {entry.path} may be {done} by {who}, which has no name on this machine.",
            "Nothing needs to be done if this host alone is in it, as with Kubernetes' fsGroup; otherwise "
            f"run 'chmod g-{take} {entry.shown}'",
        )


def _content_faults(base: Path, *, allow_unsigned: bool) -> Iterator[Finding]:
    """What lies in the plugin's own folder, its secrets apart."""
    for entry in _entries_of(base):
        if entry.path.name == _SECRETS:
            continue
        if entry.is_link:
            yield from _link_faults(entry)
            continue
        yield from _owner_faults(entry)
        is_for_drops = entry.path.name == _DROP_FOLDER and not allow_unsigned
        for fault in _write_faults(entry):
            if is_for_drops and not entry.state.st_mode & stat.S_IWOTH:
                # Others drop their files here: what they wrote runs only if it is signed.
                yield _warning(
                    fault.message, "They can add and remove waiting jobs, but run only signed ones"
                )
            else:
                yield fault
    yield from _readers(base)


def _readers(base: Path) -> Iterator[Finding]:
    try:
        entry = _Entry(base, os.stat(base))
    except FileNotFoundError:
        return
    if entry.state.st_mode & stat.S_IROTH or entry.state.st_mode & stat.S_IXOTH:
        yield _warning(
            f"The folder {base} may be read by every user of this machine; commands and outputs are in it.",
            f"Run 'chmod o-rx {entry.shown}' unless that is wanted",
        )


def _secrets_faults(folder: Path) -> Iterator[Finding]:
    try:
        entry = _Entry(folder, os.lstat(folder))
    except FileNotFoundError:
        return
    if not entry.is_folder:
        yield _problem(
            f"{folder} must be a folder, and is {_kind(entry.state.st_mode)}.",
            "Put the folder with the keys itself there",
        )
        return
    yield from _secret_faults(entry)
    for each in _entries_of(folder):
        if stat.S_ISREG(each.state.st_mode):
            yield from _secret_faults(each)
        else:
            yield _problem(
                f"{each.path} must be a file, and is {_kind(each.state.st_mode)}.",
                "Put the file with the key itself there, or remove it: a new key is made at the next start",
            )


def _secret_faults(entry: _Entry) -> Iterator[Finding]:
    yield from _owner_faults(entry)
    is_written = bool(entry.state.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    done = "read and written" if is_written else "read"
    yield from _permission_faults(entry, done, stat.S_IRWXG, stat.S_IRWXO, take="rwx")


def _entries_of(folder: Path) -> Iterator[_Entry]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    for name in names:
        try:
            yield _Entry(folder / name, os.lstat(folder / name))
        except FileNotFoundError:
            continue  # another process's temporary file


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFREG: "a file"}
    return kinds.get(stat.S_IFMT(mode), "something else")


def _me() -> str:
    return user_name(os.geteuid()) or str(os.geteuid())


def _problem(message: str, advice: str) -> Finding:
    return Finding(CHECK, Status.PROBLEM, message, advice + ".")


def _warning(message: str, advice: str) -> Finding:
    return Finding(CHECK, Status.WARNING, message, advice + ".")
