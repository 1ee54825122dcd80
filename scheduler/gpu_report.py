"""What an agent says of the GPUs of its machine, on the wire, and what of it is a worker's.

Decides when a worker's joules are known, and says why and what to do where they are not. Joules are sums since some
instant, under a name: whoever misses a report loses nothing, and whoever meets another name must not subtract. The only
instant is an age by the agent's own clock, so two machines' clocks need not agree. Knows no socket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from scheduler.gpu_counters import EnergyFrom

FORMAT = 1
READINGS_PATH = "/readings"
# Eight boards are some 2 kB.
MOST_BYTES = 256 * 1024

_OK = 200
_REFUSED = (401, 403)

Amount = Annotated[float, msgspec.Meta(ge=0.0)]
Ratio = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """One board. None is what its driver did not tell."""

    index: int
    uuid: str
    name: str
    counter_id: str  # joules of two reports may be subtracted where it is the same
    energy_j: Amount | None
    energy_from: EnergyFrom | None
    power_w: Amount | None
    utilisation_ratio: Ratio | None
    is_divided: bool  # by MIG: the joules are the whole board's
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One reading of every GPU of a machine."""

    format: int
    agent: str  # its version
    life_id: str  # another one with each start
    sequence: Annotated[int, msgspec.Meta(ge=0)]  # readings in this life
    age_s: Amount  # of the reading when it was sent, by the agent's own clock
    driver: str  # empty where NVML does not answer
    nvml: str
    problem: str  # why nothing is metered, and the way out; empty where something is
    remedy: str
    gpus: tuple[GpuReading, ...]
    # Nobody may take such joules for drawn ones: `problem` is then set as well, which earlier daemons know.
    is_simulated: bool = False


class ReportError(ValueError):
    """What answered is no report of an agent."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """The GPUs of one worker together."""

    counter_id: str
    energy_j: float
    power_w: float | None
    utilisation_ratio: float | None  # their mean
    uuids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmetered:
    """Why a worker's joules are not known, and what to do."""

    what: str
    remedy: str


def not_named() -> Unmetered:
    """Of a worker without `devices`."""
    return Unmetered(
        what="no meter: its [[worker]] names no `devices`",
        remedy="name its GPUs in `devices`; those of another machine need `slacktide agent` there and `agent` as well",
    )


def not_booked() -> Unmetered:
    """Of every worker, while the settings have it so."""
    return Unmetered(
        what="meters are read and not booked: telemetry.book_metered is false",
        remedy="set book_metered = true in [telemetry], and start the daemon again",
    )


def written(report: Report) -> bytes:
    """As it is sent."""
    return msgspec.json.encode(report)


def read_report(body: bytes) -> Report:
    """Raises ReportError."""
    try:
        report = msgspec.json.decode(body, type=Report)
    except msgspec.DecodeError as error:
        raise ReportError(f"this is no report of an agent: {error}") from None
    if report.format != FORMAT:
        raise ReportError(f"the report has format {report.format}, and this daemon reads {FORMAT}")
    return report


def token_of(variable: str, environment: Mapping[str, str]) -> str | Unmetered:
    """The token that a variable holds; empty where none is named."""
    if not variable:
        return ""
    token = environment.get(variable, "").strip()
    if not token or not token.isascii() or not token.isprintable():
        what = f"the environment variable {variable} is not set" if not token else f"{variable} holds no token"
        return Unmetered(what=what, remedy="set it to the token that the agent was started with, and start again")
    return token


def shown_token(token: str) -> dict[str, str]:
    """The header by which a caller may ask; none without a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def silent(name: str, why: str) -> Unmetered:
    """An agent that does not answer."""
    return Unmetered(
        what=f"agent {name} does not answer ({why})",
        remedy="start `slacktide agent` there, and check `url` of the [[agent]] and the firewalls between",
    )


def read_answer(name: str, status: int, body: bytes | None, stale_s: float) -> Report | Unmetered:
    """What an agent answered, as far as it can be used; `body` is None where it was longer than `MOST_BYTES`."""
    if status in _REFUSED:
        remedy = "give the variable that `token_env` of the [[agent]] names the token that the agent was started with"
        return Unmetered(what=f"agent {name} refuses our token", remedy=remedy)
    elsewhere = "check `url` of the [[agent]], and that agent and daemon have the same version"
    if status != _OK:
        return Unmetered(what=f"agent {name} answers {status}", remedy=elsewhere)
    if body is None:
        return Unmetered(what=f"agent {name}: its answer is too large, over {MOST_BYTES // 1024} kB", remedy=elsewhere)
    try:
        report = read_report(body)
    except ReportError as error:
        return Unmetered(what=f"agent {name}: {error.what}", remedy=elsewhere)
    if report.age_s > stale_s and not report.problem:
        what = f"agent {name} has not read its GPUs for over {stale_s:g} s"
        return Unmetered(what=what, remedy="look at its log: NVML hangs there, or its machine was stopped")
    return report


def of_devices(report: Report, devices: Sequence[str]) -> Metered | Unmetered:
    """What is known of these GPUs, named by index or UUID; nothing as soon as one of them does not tell."""
    if report.problem:
        return Unmetered(what=report.problem, remedy=report.remedy)
    found: dict[str, GpuReading] = {}
    for device in devices:
        gpu = next((one for one in report.gpus if device in (str(one.index), one.uuid)), None)
        if gpu is None:
            return _unknown(report, device)
        if why := _why_unmetered(gpu):
            return why
        found[gpu.uuid] = gpu
    return _together(list(found.values()))


def _unknown(report: Report, device: str) -> Unmetered:
    listed = ", ".join(f"{one.index} = {one.uuid}" for one in report.gpus) or "none"
    return Unmetered(
        what=f"the agent's machine has no GPU {device!r}; it has {listed}",
        remedy="correct `devices` of the worker; `slacktide agent --once` there lists what it sees",
    )


def _why_unmetered(gpu: GpuReading) -> Unmetered | None:
    if gpu.is_divided:
        return Unmetered(
            what=f"GPU {gpu.index} is divided by MIG: its joules are the whole board's",
            remedy="leave `agent` and `devices` of the worker out: its energy is modelled; or serve on a whole board",
        )
    if gpu.energy_j is None:
        return Unmetered(
            what=f"GPU {gpu.index} tells no energy: {gpu.problem or 'neither counter nor power'}",
            remedy="look at `nvidia-smi -q -d POWER` there; a guest may not be shown the board's meter",
        )
    return None


def _together(gpus: Sequence[GpuReading]) -> Metered:
    powers_w = [one.power_w for one in gpus if one.power_w is not None]
    ratios = [one.utilisation_ratio for one in gpus if one.utilisation_ratio is not None]
    return Metered(
        counter_id=" ".join(sorted(one.counter_id for one in gpus)),
        energy_j=sum(one.energy_j or 0.0 for one in gpus),
        power_w=sum(powers_w) if len(powers_w) == len(gpus) else None,
        utilisation_ratio=sum(ratios) / len(gpus) if len(ratios) == len(gpus) else None,
        uuids=frozenset(one.uuid for one in gpus),
    )
