"""The PowerShell module is put where PowerShell finds it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest

import aiohttp_jobs

from ..processes import printed_by
from .command import run

NAME = "PSWebHost_JobExecution"
FILES = {f"{NAME}.psd1", f"{NAME}.psm1", f"{NAME}.format.ps1xml"}


def home(tmp_path: Path, **more: str) -> dict[str, str]:
    """The environment of somebody who lives in `tmp_path` and has set nothing else."""
    return {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "PSModulePath": "", **more}


async def test_the_module_goes_into_the_users_own_folder_and_again_over_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / ".local/share/powershell/Modules" / NAME
    code, out, _ = await run("powershell-module", env=home(tmp_path))
    assert (code, str(target) in out) == (0, True)
    assert {path.name for path in target.iterdir()} == FILES
    manifest = target / f"{NAME}.psd1"
    manifest.write_text("@{ ModuleVersion = '0.0.1' }")
    code, out, _ = await run("powershell-module", "--json", env=home(tmp_path))
    assert (code, json.loads(out)) == (0, {"path": str(target)})
    versions = re.findall(r"ModuleVersion\s*=\s*'(.*)'", manifest.read_text())
    assert versions == [aiohttp_jobs.__version__]


async def test_it_goes_where_psmodulepath_has_the_users_folder(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    path = os.pathsep.join(["/usr/share/modules", str(own), str(tmp_path / "other")])
    code, _, _ = await run("powershell-module", env=home(tmp_path, PSModulePath=path))
    assert (code, (own / NAME).is_dir(), list(tmp_path.iterdir())) == (0, True, [own])


async def test_it_goes_into_another_folder_that_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    code, out, _ = await run("powershell-module", "--path", str(folder), env=home(tmp_path))
    assert (code, {path.name for path in (folder / NAME).iterdir()}) == (0, FILES)
    assert f"Import-Module '{tmp_path}/it''s here/{NAME}'" in out
    (tmp_path / "file").touch()
    code, _, err = await run("powershell-module", "--path", str(tmp_path / "file"), env=home(tmp_path))
    assert (code, "cannot be written" in err, "--path" in err) == (1, True, True)


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="there is no pwsh: the module was not imported")
async def test_powershell_finds_it_there_with_help_for_each_command(tmp_path: Path) -> None:
    env = {**os.environ, **home(tmp_path)}
    assert (await run("powershell-module", env=env))[0] == 0
    script = f"""
        foreach ($name in (Get-Command -Module (Import-Module {NAME} -DisableNameChecking -PassThru)).Name) {{
            $help = Get-Help $name
            $silent = @($help.parameters.parameter | Where-Object {{ -not $_.description }}).name |
                Where-Object {{ $_ -notin 'WhatIf', 'Confirm' }}
            "$name | $($help.Synopsis -like '*.') | $(@($help.examples.example).Count -gt 0) | $silent"
        }}
        (Test-ModuleManifest (Get-Module {NAME}).Path.Replace('.psm1', '.psd1')).PowerShellVersion.ToString()
    """
    pwsh = await asyncio.create_subprocess_exec(
        "pwsh", "-NoProfile", "-NonInteractive", "-Command", script, env=env, stdout=-1, stderr=-2
    )
    out, _ = await printed_by(pwsh, seconds=120)
    commands = (
        *("Connect-PSWebHost", "Get-PSWebHostJobFunction", "Get-PSWebHostJobResults"),
        *("Invoke-PSWebHostJobFunction", "Process-PSWebHostJobSubmissions"),
        *("Remove-PSWebHostJobResults", "Submit-PSWebHostJob"),
    )
    assert sorted(out.decode().splitlines()) == ["5.1", *(f"{name} | True | True | " for name in commands)]
