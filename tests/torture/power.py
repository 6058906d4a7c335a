"""Power cuts: of a data folder on a disk of its own, what had reached the disk is what is left.

The disk is an ext4 file system in a file. At the cut that file is copied as it is; the copy, which lacks all
that was not synced yet, is mounted in its place for the next host, in another life of the system.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path

import psutil

from .scenario import Scenario

NEEDS = "power cuts need root, mkfs.ext4, unshare and a free loop device"
_MEGABYTES = 192
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Disk:
    """An ext4 file system in a file, mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._image = path.with_suffix(".img")
        with self._image.open("wb") as file:
            file.truncate(_MEGABYTES << 20)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))
        path.mkdir()
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def snapshot(self) -> Path:
        """What has reached the disk until now."""
        copy = self._image.with_name(f"{secrets.token_hex(4)}.img")
        _run("cp", "--sparse=always", str(self._image), str(copy))
        return copy

    def replace(self, image: Path) -> None:
        """Go on with `image`."""
        self.close()
        self._image = image
        self._mount()

    def close(self) -> None:
        """Nothing that runs on it survives."""
        for process in psutil.process_iter(["cwd"]):
            if (process.info["cwd"] or "").startswith(f"{self.path}/"):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    process.wait(10)
        _run("umount", str(self.path))
        self._image.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def new_life(folder: Path) -> list[str]:
    """The beginning of a command line that runs the rest in another life of the system."""
    boot = folder / f"boot-{secrets.token_hex(4)}"
    boot.write_text(f"{uuid.uuid4()}\n")
    script = f'mount --bind {boot} {_BOOT_ID} && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, "host"]


def is_usable() -> bool:
    """Whether disks can be made here, and lives begun."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("mkfs.ext4", "unshare", "losetup"))):
        return False
    done = subprocess.run(["losetup", "-f"], check=False, capture_output=True)
    namespace = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
    return done.returncode == 0 and namespace.returncode == 0


async def cut(scenario: Scenario) -> None:
    """The power fails twice while everything is going on."""
    disk = await asyncio.to_thread(Disk, scenario.folder / "disk")
    scenario.data = disk.path / "data"
    scenario.at_end(disk.close)
    load = await scenario.open(with_schedules=False)
    load.start()
    for _ in range(2):
        scenario.prefix = new_life(scenario.folder)
        host = await scenario.start()
        await asyncio.sleep(scenario.chance.uniform(0.4, 2.5))
        await load.stop()  # what is answered after the cut would not be known to be
        await host.kill()
        image = await asyncio.to_thread(disk.snapshot)
        await asyncio.to_thread(disk.replace, image)
        scenario.tried += 1
        scenario.died += 1
        load.start()
    scenario.prefix = new_life(scenario.folder)
