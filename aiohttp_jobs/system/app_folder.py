"""The path of the plugin's own folder below a data folder."""

from __future__ import annotations

from pathlib import Path

APP_FOLDER = Path("apps") / "WebHostTaskManagement"
"""The specification's folder, relative to the data folder."""
