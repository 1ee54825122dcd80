"""What SIGHUP does to `slacktide serve`: read the settings file again, and take it up if it is sound.

Decides nothing: config_text.py says what is wrong with a file, scheduler/daemon/reloading.py what can change.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Never

if TYPE_CHECKING:
    from scheduler.daemon.app import Daemon

log = logging.getLogger(__name__)


async def reload_on(wanted: asyncio.Event, daemon: Daemon, config: Path) -> Never:
    """Each time it is wanted, one reload after the other; one that cannot be done leaves the old settings in force."""
    while True:
        await wanted.wait()
        wanted.clear()
        try:
            await reload(daemon, config)
        except Exception:  # the outermost runner of a reload: the daemon goes on, and the next one is tried
            log.exception("reload failed", extra={"action": "settings_reload_failed"})


async def reload(daemon: Daemon, config: Path) -> bool:
    """Whether the file is in force now; every reason against it is in the log."""
    from intensity_feeds.trace import TraceError
    from scheduler.config_text import SettingsError, read_settings
    from scheduler.daemon.certificate import CertificateError
    from scheduler.daemon.model_routing import ModelPoolError
    from scheduler.daemon.reloading import FixedSettingsError
    from scheduler.daemon.worker_profiles import CalibrationFileError
    from scheduler.store.contract import StoreBusyError
    from slacktide.settings_kept import keep

    try:
        text = await asyncio.to_thread(config.read_text, "utf-8")
        read = read_settings(text, str(config), os.environ)
        await daemon.reload(read.settings)
    except SettingsError as error:
        for problem in error.problems:
            _refuse(str(problem))
    except FixedSettingsError as error:
        _refuse_fixed(error.keys)
    except (CertificateError, ModelPoolError) as error:
        _refuse(str(error), remedy=error.remedy)
    except (TraceError, CalibrationFileError, StoreBusyError, OSError, UnicodeDecodeError) as error:
        _refuse(str(error))
    else:
        for warning in read.warnings:
            log.warning("settings doubtful", extra={"action": "settings_doubtful", "problem": str(warning)})
        await asyncio.to_thread(keep, read.settings, text)
        return True
    return False


def _refuse_fixed(keys: Sequence[str]) -> None:
    from scheduler.settings_change import why_fixed
    from slacktide.settings_kept import RESTART

    for key in keys:
        _refuse(f"{key}: only a start takes this up", why=why_fixed(key))
    told = {"action": "settings_need_restart", "keys": ", ".join(keys), "remedy": RESTART}
    log.error("settings need a restart", extra=told)


def _refuse(problem: str, **more: str) -> None:
    log.error("settings not reloaded", extra={"action": "settings_refused", "problem": problem, **more})
