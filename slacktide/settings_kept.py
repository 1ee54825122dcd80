"""The settings that a daemon has taken up, kept in its state folder: a check can say then what a reload would do.

The copy is as private as the settings file ought to be: it may hold passwords, and only its owner may read it.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scheduler.config import Settings

log = logging.getLogger(__name__)

FILE = "settings-in-force.toml"
RESTART = (
    "restart the daemon (systemctl restart slacktide), which drains first; until then nothing of the file is in force, "
    "and without this change SIGHUP takes up the rest"
)


def keep(settings: Settings, text: str) -> None:
    """Where it cannot be kept the daemon goes on, and checks say less."""
    path = _path(settings)
    new = path.with_suffix(".new")
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        new.replace(path)
    except OSError as error:
        log.warning("settings not kept", extra={"action": "settings_not_kept", "why": str(error)})


def taking_a_restart(after: Settings) -> list[tuple[str, str]] | None:
    """Each key that differs and only a start takes up, with its why; None where nothing was kept that can be read."""
    from scheduler.config_text import SettingsError, read_settings
    from scheduler.settings_change import fixed_changes, why_fixed

    path = _path(after)
    try:
        before = read_settings(path.read_text("utf-8"), str(path), os.environ).settings
    except (OSError, UnicodeDecodeError, SettingsError):  # never started, somebody else's, of an older version
        return None
    return [(key, why_fixed(key)) for key in fixed_changes(before, after)]


def _path(settings: Settings) -> Path:
    return Path(settings.server.state_dir).expanduser() / FILE
