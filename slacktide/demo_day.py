"""The demo's day: the whole path in one process, on a made-up grid whose day passes in a minute.

The daemon asks an emulated Electricity Maps over HTTP, its jobs are real processes that sleep, its requests go through
the gateway to a simulated GPU worker; only the grid, the joules and the pace of the clock are not real, and it says so.
"""

from __future__ import annotations

import asyncio
import logging
import random
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slacktide.terminal import OwnFailure, print_json, reason_of, say

if TYPE_CHECKING:
    import aiohttp

    from scheduler.config import Settings
    from scheduler.daemon.env import Env

DAY_S = 86_400.0
HOUR_S = 3_600.0
_MODEL = "llama-3.1-8b"
# The rest of the day is for finishing.
_SUBMITTING_RATIO = 0.5
_REQUESTS_PER_S = 6.0
_SEED = 7
# A `sleep` dies of its SIGTERM at once; the time is for a busy machine.
_RUNS_END_WITHIN_S = 10.0
_ASKED_EVERY_S = 0.05
_OPEN_STATES = ("waiting", "starting", "running", "paused")
_SHOWN = {"run_start": "starts", "run_pause": "pauses", "job_planned": "is planned"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One fine-tuning of the demo, in hours of the grid's clock."""

    label: str
    submit_hours: float
    duration_hours: float
    within_hours: float
    gpus: int
    power_w: float


TRAININGS = (
    Training(label="nightly-lora", submit_hours=0.2, duration_hours=3, within_hours=20, gpus=2, power_w=1400),
    Training(label="ablation-a", submit_hours=0.5, duration_hours=2, within_hours=18, gpus=1, power_w=700),
    Training(label="ablation-b", submit_hours=0.5, duration_hours=2, within_hours=18, gpus=1, power_w=700),
    Training(label="embeddings", submit_hours=1.5, duration_hours=4, within_hours=20, gpus=2, power_w=1300),
    Training(label="evaluation", submit_hours=3, duration_hours=1, within_hours=6, gpus=4, power_w=2600),
    Training(label="urgent-fix", submit_hours=4, duration_hours=1, within_hours=1.5, gpus=1, power_w=700),
    Training(label="distillation", submit_hours=5, duration_hours=3, within_hours=16, gpus=2, power_w=1400),
)


class DemoDay:
    """One run of the demo."""

    def __init__(self, folder: Path, port: int, lasts_s: float, *, opens_browser: bool, as_json: bool) -> None:
        self._folder, self._port, self._lasts_s = folder, port, lasts_s
        self._opens_browser, self._as_json = opens_browser, as_json
        self._random = random.Random(_SEED)
        self._answered = 0
        self._ended = asyncio.Event()
        self._ended_by: int | None = None

    async def run(self, ending: Sequence[int] = ()) -> int | None:
        """Play the day, or as much of it as the first of the signals `ending` leaves; that signal, if one came."""
        loop = asyncio.get_running_loop()
        for number in ending:
            loop.add_signal_handler(number, self._end, number)
        await self._serve()
        return self._ended_by

    def _end(self, number: int) -> None:
        self._ended_by = number
        self._ended.set()

    async def _serve(self) -> None:
        from aiohttp import web

        from scheduler.daemon.app import Daemon
        from scheduler.daemon.env import Env
        from simulations import worker_server

        speed = DAY_S / self._lasts_s
        env = Env(epoch_s=_midnight_s(), speed=speed, seed=_SEED)
        worker_options = worker_server.WorkerOptions(model=_MODEL, gpu="h100-sxm", speed=speed, seed=_SEED)
        worker, worker_port = await worker_server.start(worker_server.build_app(worker_options))
        grid = web.AppRunner(_grid(env), access_log=None)
        await grid.setup()
        await web.TCPSite(grid, "127.0.0.1", 0).start()
        settings = _settings(self._folder, self._port, worker_port, grid.addresses[0][1], speed)
        daemon = Daemon(settings, env, {"DEMO_TOKEN": "demo"})
        self._narrate(env)
        try:
            await daemon.start()
        except OSError as error:
            raise OwnFailure(f"the demo cannot listen: {reason_of(error)}", "choose another --port") from None
        try:
            await self._play(daemon.listener.base_url, env)
        finally:
            await daemon.stop()
            await worker.cleanup()
            await grid.cleanup()

    async def _play(self, address: str, env: Env) -> None:
        import aiohttp

        say(f"Slacktide demo at {address} for {self._lasts_s:.0f} s: one day of a made-up grid, simulated GPUs.")
        if self._opens_browser:
            webbrowser.open(address)
        timeout = aiohttp.ClientTimeout(total=self._lasts_s + 30)
        async with aiohttp.ClientSession(base_url=address, timeout=timeout) as client:
            work = asyncio.create_task(self._work(client, env))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), self._lasts_s)
            work.cancel()
            await asyncio.wait((work,))
            if not work.cancelled() and (error := work.exception()) is not None:
                raise error
            await self._report(client)
            await _end_open_jobs(client)

    async def _work(self, client: aiohttp.ClientSession, env: Env) -> None:
        async with asyncio.TaskGroup() as group:
            for training in TRAININGS:
                group.create_task(self._submit(client, env, training))
            until_s = env.now_s() + _SUBMITTING_RATIO * DAY_S
            while env.now_s() < until_s:
                group.create_task(self._ask(client, is_flex=self._random.random() < 0.5))
                await env.sleep_s(env.speed * self._random.expovariate(_REQUESTS_PER_S))

    async def _submit(self, client: aiohttp.ClientSession, env: Env, training: Training) -> None:
        await env.sleep_s(training.submit_hours * HOUR_S)
        body = {
            "kind": "fine_tuning",
            "template": "train",
            "label": training.label,
            "arguments": {"seconds": f"{training.duration_hours * HOUR_S / env.speed:.3f}"},
            "duration": f"{training.duration_hours}h",
            "within": f"{training.within_hours}h",
            "gpus": training.gpus,
            "power": f"{training.power_w}W",
            "purpose": "development",
        }
        async with client.post("/api/v1/jobs", json=body) as response:
            if response.status != 201:
                raise OwnFailure(f"the daemon refused {training.label}: {await response.text()}")

    async def _ask(self, client: aiohttp.ClientSession, *, is_flex: bool) -> None:
        body = {
            "model": _MODEL,
            "messages": [{"role": "user", "content": "What is a slack tide? " * self._random.randint(5, 60)}],
            "max_tokens": self._random.randint(50, 400),
        }
        headers = {"x-slacktide-deadline": "8h"} if is_flex else {}
        async with client.post("/v1/chat/completions", json=body, headers=headers) as response:
            await response.read()
            self._answered += response.status == 200

    async def _report(self, client: aiohttp.ClientSession) -> None:
        async with client.get("/api/v1/savings") as response:
            account = await response.json()
        async with client.get("/api/v1/jobs") as response:
            jobs = (await response.json())["data"]
        done = sum(job["state"] == "succeeded" for job in jobs)
        if self._as_json:
            print_json({"jobs": len(jobs), "succeeded": done, "answered": self._answered, "savings": account})
            return
        _print_table(account)
        say(f"{done} of {len(jobs)} jobs have finished, {self._answered} requests were answered.")
        say("The grid is made up and the energy modelled; gateway, queue, planner and ledger are the real ones.")

    def _narrate(self, env: Env) -> None:
        if not self._as_json:
            logger = logging.getLogger("scheduler.daemon.runner")
            logger.setLevel(logging.INFO)
            logger.propagate = False
            logger.addHandler(_Narrator(env))


class _Narrator(logging.Handler):
    """Tells what the planner decides, by the grid's clock."""

    def __init__(self, env: Env) -> None:
        super().__init__()
        self._env = env

    def emit(self, record: logging.LogRecord) -> None:
        verb, reason = _SHOWN.get(getattr(record, "action", "")), getattr(record, "reason", "")
        if verb is None or "moved from" in reason:  # every new forecast moves something
            return
        hour, minute = divmod(int(self._env.now_s() % DAY_S) // 60, 60)
        label = getattr(record, "label", "") or getattr(record, "job", "")
        say(f"  {hour:02d}:{minute:02d}  {label} {verb}: {reason}")


def _midnight_s() -> float:
    import time

    # The date only labels the plots; the made-up grid is the same every day.
    return time.time() // DAY_S * DAY_S  # noqa: TID251  the shell of a demonstration


def _grid(env: Env) -> Any:
    """An emulated Electricity Maps with a solar and a windy zone, on the demo's clock."""
    from intensity_feeds.synthetic import archetype
    from simulations.feed_server import build_app

    start_at_s = env.now_s() - 3 * DAY_S
    trace = {
        zone: archetype(name, zone, start_at_s, days=8, seed=_SEED)
        for zone, name in (("DEMO-SOLAR", "solar"), ("DEMO-WIND", "wind"))
    }
    return build_app(trace, now_s=env.now_s)


def _settings(folder: Path, port: int, worker_port: int, grid_port: int, speed: float) -> Settings:
    from scheduler.config import validate

    zones = ["DEMO-SOLAR", "DEMO-WIND"]
    return validate(
        {
            "server": {"port": port, "state_dir": str(folder), "drain_s": 2},
            "region": [
                {"name": "solar", "zone": zones[0], "gpus": 4, "pue": 1.2},
                {"name": "wind", "zone": zones[1], "gpus": 2, "pue": 1.1},
            ],
            "feed": [
                {
                    "kind": "electricity_maps",
                    "zones": zones,
                    "base_url": f"http://127.0.0.1:{grid_port}",
                    "token_env": "DEMO_TOKEN",
                    "poll_s": 900,
                }
            ],
            "worker": [
                {
                    "url": f"http://127.0.0.1:{worker_port}",
                    "models": [_MODEL],
                    "region": "solar",
                    "max_sequences": 256,
                }
            ],
            "shaping": {"flex_deadline_s": 8 * HOUR_S, "flex_margin_s": speed},
            "planning": {"replan_s": 1800},
            "template": [{"name": "train", "command": ["sleep", "{seconds}"]}],
        }
    )


async def _end_open_jobs(client: aiohttp.ClientSession) -> None:
    """Runs outlive a daemon on purpose; those of a demo should not, so its end waits for theirs."""
    for job in await _open_jobs(client):
        async with client.post(f"/api/v1/jobs/{job['id']}/cancel", json={}):
            pass
    with suppress(TimeoutError):
        async with asyncio.timeout(_RUNS_END_WITHIN_S):
            await _until_none_is_open(client)


async def _until_none_is_open(client: aiohttp.ClientSession) -> None:
    while await _open_jobs(client):  # noqa: ASYNC110  another process could not set an Event either: asked over HTTP
        await asyncio.sleep(_ASKED_EVERY_S)  # noqa: TID251  the shell of a demonstration, in real seconds


async def _open_jobs(client: aiohttp.ClientSession) -> list[dict[str, Any]]:
    async with client.get("/api/v1/jobs", params=[("state", state) for state in _OPEN_STATES]) as response:
        jobs: list[dict[str, Any]] = (await response.json())["data"]
    return jobs


def _print_table(account: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="What was saved against running everything at once")
    for column in ("work", "uses", "energy", "emitted", "at once", "saved"):
        table.add_column(column, justify="left" if column == "work" else "right")
    rows = [*account["by_category"].items(), ("all", account)]
    for name, part in rows:
        ratio = part["savings_ratio"]
        table.add_row(
            name,
            str(part["uses"]),
            f"{part['energy_kwh']:.2f} kWh",
            f"{part['emissions_gco2e']:,.0f} g",
            f"{part['at_once_emissions_gco2e']:,.0f} g",
            "not known" if ratio is None else f"{ratio:.1%}",
            end_section=name != "all" and name == rows[-2][0],
        )
    Console().print(table)
