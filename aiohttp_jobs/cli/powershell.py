"""``aiohttp-jobs powershell-module``: installs the PowerShell module that comes with this package."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from ..system.atomic import put_file
from .printing import AsJSON, fail, report

MODULE = "PSWebHost_JobExecution"

FolderOption = Annotated[
    Path | None,
    typer.Option("--path", help="Install it here instead of your own module folder."),
]


def powershell_module(path: FolderOption = None, as_json: AsJSON = False) -> None:
    """Install or update the PowerShell module.

    It offers Submit-PSWebHostJob and more to users of PowerShell.
    """
    target = (path or module_folder()).absolute() / MODULE
    source = files("aiohttp_jobs.client") / "powershell" / MODULE
    try:
        target.mkdir(parents=True, exist_ok=True)
        for each in source.iterdir():
            put_file(target / each.name, each.read_bytes())
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}. Choose another folder of modules with --path.")
    how = f"Import-Module {_name_for(path, target)} -DisableNameChecking"
    report({"path": str(target)}, f"The module is in {target}. In PowerShell: {how}", as_json=as_json)


def module_folder() -> Path:
    """The user's folder of PowerShell modules: the first of ``PSModulePath`` in their home, or the usual
    one.
    """
    home = Path.home()
    found = os.environ.get("PSModulePath", "")  # noqa: SIM112 - so it is spelled outside Windows
    for entry in found.split(os.pathsep):
        if entry and Path(entry).is_relative_to(home):
            return Path(entry)
    if os.name == "nt":
        return home / "Documents" / "PowerShell" / "Modules"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "powershell" / "Modules"


def _name_for(path: Path | None, target: Path) -> str:
    if path is None:
        return MODULE
    return "'" + str(target).replace("'", "''") + "'"
