"""Resolves Unix users and groups: their names, and who else is a member of a group."""

from __future__ import annotations

import os
from enum import Enum

try:
    import grp
    import pwd
except ImportError:  # Windows has neither
    HAS_PEOPLE = False
else:
    HAS_PEOPLE = True

ROOT = 0


class Reach(Enum):
    """Whom the permissions of a file's group admit, besides this process's own user and root."""

    NOBODY_ELSE = "nobody else"
    UNKNOWN = "whoever is in a group that this machine does not know"
    OTHERS = "others"


def user_name(uid: int) -> str | None:
    """The user's name; ``None`` when this machine does not know the user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def described_user(uid: int) -> str:
    """The user for a sentence: by name if there is one."""
    name = user_name(uid)
    return f"the user {name}" if name is not None else f"user {uid}"


def described_group(gid: int) -> str:
    """The group for a sentence: by name if there is one."""
    try:
        return f"the group {grp.getgrgid(gid).gr_name}"
    except KeyError:
        return f"group {gid}"


def is_trusted(uid: int) -> bool:
    """Whether files of this user are as safe as our own: the user is this process's own, or root."""
    return uid in {ROOT, os.geteuid()}


def group_reach(gid: int) -> Reach:
    """Whom the group admits.

    Nobody else: a user's private group, as Debian creates them. Unknown: a group id without a name that this
    process is a member of, such as Kubernetes' ``fsGroup``.
    """
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        is_member = gid == os.getegid() or gid in os.getgroups()
        return Reach.UNKNOWN if is_member else Reach.OTHERS
    trusted = {ROOT, os.geteuid()}
    others = members - {entry.pw_name for entry in pwd.getpwall() if entry.pw_uid in trusted}
    others |= {
        entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid and entry.pw_uid not in trusted
    }
    return Reach.OTHERS if others else Reach.NOBODY_ELSE
