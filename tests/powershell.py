"""What tests that run PowerShell say of a machine that has none."""

from __future__ import annotations

import shutil

import pytest

needs_pwsh = pytest.mark.skipif(
    shutil.which("pwsh") is None,
    reason="PowerShell was not tried: pwsh is neither on PATH nor in ../shared/powershell",
)
