"""`slacktide agent`: on a machine with GPUs, tells a daemon elsewhere what they draw."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slacktide.terminal import JSON_OPTION, OwnFailure, UsageProblem, print_json, reason_of, say

if TYPE_CHECKING:
    from scheduler.daemon.gpu_agent import GpuAgent
    from scheduler.gpu_report import Report

TOKEN_VARIABLE = "SLACKTIDE_AGENT_TOKEN"
DEFAULT_PORT = 9402
SHORTEST_TOKEN = 16
MAX_CONNECTIONS = 64
EVERYWHERE = ("0.0.0.0", "::")


def agent(
    host: Annotated[
        str, typer.Option(help=f"Address to listen on; other than loopback needs a token in {TOKEN_VARIABLE}.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 lets the system choose.")] = DEFAULT_PORT,
    token_file: Annotated[
        Path | None, typer.Option(help=f"File with the token that callers must show, instead of {TOKEN_VARIABLE}.")
    ] = None,
    sample: Annotated[str, typer.Option(help="Time between two readings of the GPUs, from 200ms to 5s.")] = "500ms",
    once: Annotated[bool, typer.Option("--once", help="Read the GPUs once, show what there is, and end.")] = False,
    simulated: Annotated[
        bool,
        typer.Option("--simulated", help="Report a made-up GPU, to try it without NVML; nothing is metered."),
    ] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object per line instead of text.")] = False,
) -> None:
    """Meter the GPUs of this machine for a daemon elsewhere, which names it as [[agent]]. Reads NVML, needs no root.

    Without NVML it runs, says why, and meters nothing.

    Example: slacktide agent --once
    Example: SLACKTIDE_AGENT_TOKEN=$(cat token) slacktide agent --host 0.0.0.0
    Example: slacktide agent --simulated
    """
    import asyncio
    import logging

    from slacktide.log_lines import set_up

    sample_s = _sample_s(sample)
    set_up(as_json=log_json, level=logging.ERROR if once else logging.INFO)  # what is shown says it already
    if once:
        report = asyncio.run(_read_once(sample_s, simulated=simulated))
        _show(report, as_json=as_json)
        if report.problem and not simulated:
            raise typer.Exit(1)
        return
    asyncio.run(_serve(host, port, _token(token_file, host), sample_s, simulated=simulated, as_json=as_json))


def _sample_s(text: str) -> float:
    from scheduler.gpu_counters import LONGEST_POWER_GAP_S
    from scheduler.quantities import QuantityError, parse_duration_s

    try:
        found_s = parse_duration_s(text)
    except QuantityError as error:
        raise UsageProblem(f"--sample: {error}") from None
    if not 0.2 <= found_s <= LONGEST_POWER_GAP_S:
        raise UsageProblem(f"--sample is {text}", "200ms to 5s: counters move each 0.1 s, power is integrated")
    return found_s


def _token(file: Path | None, host: str) -> str:
    """Who may ask: whoever has it. Never shown and never logged."""
    from scheduler.addresses import is_loopback

    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if file is not None:
        try:
            token = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = reason_of(error) if isinstance(error, OSError) else "no text"
            raise UsageProblem(f"--token-file {file} cannot be read: {why}", "openssl rand -hex 32 > FILE") from None
    if (token or file is not None) and len(token) < SHORTEST_TOKEN:
        raise UsageProblem(f"the token is shorter than {SHORTEST_TOKEN} characters", "make one: openssl rand -hex 32")
    if not token and not is_loopback(host):
        hint = f"set {TOKEN_VARIABLE} or --token-file (openssl rand -hex 32), or listen on 127.0.0.1"
        raise UsageProblem(f"{host} is reachable from other machines, and there is no token", hint)
    return token


def _agent(sample_s: float, *, simulated: bool) -> GpuAgent:
    from importlib.metadata import version

    from scheduler.daemon.env import Env
    from scheduler.daemon.gpu_agent import GpuAgent
    from scheduler.daemon.nvml_gpus import NvmlGpus
    from scheduler.daemon.simulated_gpus import SimulatedGpus

    env = Env()
    gpus = (lambda: SimulatedGpus(env.monotonic_s)) if simulated else NvmlGpus
    return GpuAgent(env, gpus, version=version("slacktide"), sample_s=sample_s)


async def _read_once(sample_s: float, *, simulated: bool) -> Report:
    found = _agent(sample_s, simulated=simulated)
    await found.look()
    await found.close()
    return found.report()


async def _serve(host: str, port: int, token: str, sample_s: float, *, simulated: bool, as_json: bool) -> None:
    import asyncio
    import signal

    from scheduler.config import Server
    from scheduler.daemon.gpu_agent import agent_app
    from scheduler.daemon.listener import Listener

    found = _agent(sample_s, simulated=simulated)
    server = Server(host=host, port=port, max_connections=MAX_CONNECTIONS)
    listener = Listener(agent_app(found, token), server, has_keys=bool(token))
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        await listener.start()
    except OSError as error:
        raise OwnFailure(f"cannot listen on {host}:{port}: {reason_of(error)}", "choose another --port") from None
    _announce(listener.base_url, _elsewhere(host, listener.port), simulated=simulated, as_json=as_json)
    reading = asyncio.create_task(found.run(), name="GPUs")
    stopped = asyncio.create_task(stopping.wait(), name="signal")
    await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
    for task in (reading, stopped):
        task.cancel()
    await listener.stop()
    await asyncio.wait((reading, stopped))
    if not reading.cancelled():
        reading.result()
    await found.close()


def _elsewhere(host: str, port: int) -> str:
    """Where other machines find it; empty where they do not."""
    import socket

    from scheduler.addresses import is_loopback

    if is_loopback(host):
        return ""
    called = socket.gethostname() if host in EVERYWHERE else host
    return f"http://[{called}]:{port}" if ":" in called else f"http://{called}:{port}"


def _announce(address: str, elsewhere: str, *, simulated: bool, as_json: bool) -> None:
    if as_json:
        print_json({"url": address, "url_elsewhere": elsewhere or None, "is_simulated": simulated})
        sys.stdout.flush()  # a script waits for the address while this runs on
        return
    say(f"agent: {address}/readings" + (f"; for [[agent]] url: {elsewhere}" if elsewhere else ""))
    if simulated:
        say("agent: its GPU is SIMULATED, and no daemon counts what it reports as metered")


def _show(report: Report, *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json(asdict(report))
        return
    if report.problem:
        print(f"nothing is metered here: {report.problem}")
        print(f"fix: {report.remedy}")
        if not report.is_simulated:
            return
    print(f"driver {report.driver}, NVML {report.nvml}")
    for gpu in report.gpus:
        power = "power unknown" if gpu.power_w is None else f"{gpu.power_w:.0f} W"
        energy = "no energy" if gpu.energy_from is None else f"energy from {gpu.energy_from.value}"
        divided = ", divided by MIG: not metered" if gpu.is_divided else ""
        print(f"{gpu.index}  {gpu.uuid}  {gpu.name}  {power}, {energy}{divided}")
        if gpu.problem:
            print(f"   {gpu.problem}")
