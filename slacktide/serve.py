"""`slacktide serve`: the daemon in front of GPU workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slacktide.terminal import OwnFailure, UsageProblem, reason_of, say

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Sequence

    from scheduler.config import Server


def serve(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="Settings file; `slacktide config init` writes a commented one.")
    ] = Path("slacktide.toml"),
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object per line instead of text.")] = False,
) -> None:
    """Run the daemon: OpenAI-compatible gateway, job queue, planner, cron launches.

    Example: slacktide serve -c slacktide.toml
    """
    early: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _: early.append(number))  # it would end what is still being loaded
    import asyncio

    from scheduler.config_text import SettingsError, read_settings
    from slacktide.config import read_text
    from slacktide.log_lines import set_up

    try:
        text = read_text(config)
        read = read_settings(text, str(config), os.environ)
    except SettingsError as error:
        raise UsageProblem(f"the settings cannot be used:\n{error}", f"slacktide config check -c {config}") from None
    set_up(as_json=log_json)
    for warning in read.warnings:
        say(f"slacktide: {warning}")
    with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        runner.run(_serve(read.settings, text, config, early))


def _fastest_loop() -> Callable[[], AbstractEventLoop] | None:
    """uvloop where the extra `speed` is installed, asyncio's own otherwise."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: object, text: str, config: Path, early: Sequence[int]) -> None:
    import asyncio

    from intensity_feeds.trace import TraceError
    from scheduler.config import Settings
    from scheduler.daemon.app import Daemon
    from scheduler.daemon.certificate import CertificateError
    from scheduler.daemon.env import Env
    from scheduler.daemon.garbage import look_seldom
    from scheduler.daemon.http import ExposedWithoutKeysError
    from scheduler.daemon.identity_tokens import NoIdentityLibraryError
    from scheduler.daemon.model_routing import ModelPoolError
    from scheduler.daemon.state_folder import StateFolderInUseError
    from scheduler.daemon.tracing import NoTracingLibraryError
    from scheduler.daemon.worker_profiles import CalibrationFileError
    from scheduler.store.contract import StoreError
    from slacktide.hangup import reload_on
    from slacktide.settings_kept import keep

    assert isinstance(settings, Settings)
    try:
        daemon = Daemon(settings, Env(), os.environ)
    except NoTracingLibraryError as error:
        raise UsageProblem(str(error)) from None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.request_stop)
    hung_up = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, hung_up.set)  # one that comes before it serves is obeyed once it does
    if early:
        hung_up.set()
    try:
        await daemon.start()
    except (StateFolderInUseError, ExposedWithoutKeysError, TraceError) as error:
        raise UsageProblem(str(error)) from None
    except (CertificateError, ModelPoolError, CalibrationFileError) as error:
        raise UsageProblem(str(error), error.remedy) from None
    except NoIdentityLibraryError as error:
        raise UsageProblem(str(error)) from None
    except StoreError as error:
        raise OwnFailure(f"the daemon cannot start: {error}", "slacktide doctor -c FILE looks for the cause") from None
    except ModuleNotFoundError as error:
        what = f"server.database_url needs {error.name}, which is not installed"
        raise UsageProblem(what, 'pip install "slacktide[postgres]"') from None
    except OSError as error:
        raise _not_started(error, settings.server) from None
    await asyncio.to_thread(keep, settings, text)
    look_seldom()
    reloading = asyncio.create_task(reload_on(hung_up, daemon, config), name="reload on SIGHUP")
    try:
        await daemon.wait()
    except StoreError as error:
        raise OwnFailure(f"the database can no longer be written: {error}", "mend the disk, then start again") from None
    finally:
        reloading.cancel()
        await daemon.stop()


def _not_started(error: OSError, server: Server) -> OwnFailure:
    """A file has a name, an address has none."""
    reason = reason_of(error)
    if error.filename is not None:
        hint = f"server.state_dir ({server.state_dir}) must be a folder that this user may write"
        return OwnFailure(f"the daemon cannot use {error.filename}: {reason}", hint)
    hint = "stop what listens there, or set server.host and server.port to a free address of this machine"
    return OwnFailure(f"the daemon cannot listen on {server.host}:{server.port}: {reason}", hint)
