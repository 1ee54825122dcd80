"""What one request used: joules from the worker where it says, from the energy model otherwise, booked once answered.

Decides the basis and which region pays. What an answer says of grams is by the forecast of the moment; the ledger's are
settled on what is known later.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from intensity_feeds.series import IntensitySeries
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.worker_profiles import worker_deployment
from scheduler.ledger import EnergyBasis, EnergyUse, Subject, emissions_gco2e
from scheduler.region_settings import RegionSettings
from scheduler.worker_settings import WorkerSettings
from shaping import energy, first_token
from shaping.deployment import ErrorClass
from shaping.request import Request
from shaping.request_energy import request_energy_j
from shaping.uncertainty import class_factors

log = logging.getLogger(__name__)

# What a simulated worker reports of its own model, in the header or, for a stream, in a comment near its end; a real
# engine does not send it.
WORKER_ENERGY_HEADER = "x-slacktide-worker-energy-j"
_ENERGY_COMMENT = re.compile(rb"^:? ?slacktide-worker-energy-j=(\S+)$", re.MULTILINE)
_FACTS = ("energy-wh", "gco2e", "basis", "error-class", "energy-band-wh", "gco2e-band")
_HEADER_OF = {name: f"x-slacktide-{name}" for name in _FACTS}
_J_PER_WH = 3600.0
_J_PER_KWH = 3.6e6
# A use has an interval; an answer within the clock's resolution still took some time.
_SHORTEST_USE_S = 1e-3


class UseSink(Protocol):
    """Takes uses of energy in memory, without waiting for a disk."""

    def record(self, use: EnergyUse) -> None: ...


def worker_energy_j(header: str | None) -> float | None:
    """The joules that a worker reports; None where it reports none, or no number."""
    try:
        reported_j = float(header) if header is not None else -1.0
    except ValueError:
        return None
    return reported_j if 0 <= reported_j < float("inf") else None


def stream_energy_j(tail: bytes) -> float | None:
    """The joules in the last lines of a stream; None where there are none."""
    found = _ENERGY_COMMENT.search(tail)
    return None if found is None else worker_energy_j(found[1].decode("ascii", "replace"))


def watt_hours(energy_j: float) -> str:
    """As the response header shows it."""
    return f"{energy_j / _J_PER_WH:.6g}"


class Used(NamedTuple):
    """What one answer used, as far as it is known when it is sent; grams are None where the grid is not known."""

    energy_j: float
    emissions_gco2e: float | None

    def and_more(self, other: Used | None) -> Used | None:
        """Of both together; None where either is not known."""
        if other is None:
            return None
        mine, theirs = self.emissions_gco2e, other.emissions_gco2e
        grams = None if mine is None or theirs is None else mine + theirs
        return Used(energy_j=self.energy_j + other.energy_j, emissions_gco2e=grams)

    def facts(self) -> dict[str, str]:
        """By the name that a header and a comment in a stream give them."""
        told = {"energy-wh": watt_hours(self.energy_j)}
        if self.emissions_gco2e is not None:
            told["gco2e"] = f"{self.emissions_gco2e:.6g}"
        told["basis"] = str(EnergyBasis.MODELLED)  # not its value, which takes a call
        return told


def energy_facts(used: Used, error_class: ErrorClass | None) -> dict[str, str]:
    """What an answer says of its energy: the amount, its grams, how both are known, and the 80% band of both where the
    energy's class is known. That of the grams is the energy's: the grid's own error is not in it.
    """
    told = used.facts()
    if error_class is not None:
        low, high = class_factors(error_class)
        energy_j, grams = used.energy_j, used.emissions_gco2e
        told["error-class"] = str(error_class)
        told["energy-band-wh"] = f"{watt_hours(energy_j * low)}..{watt_hours(energy_j * high)}"
        if grams is not None:
            told["gco2e-band"] = f"{grams * low:.6g}..{grams * high:.6g}"
    return told


def energy_headers(used: Used, error_class: ErrorClass | None) -> dict[str, str]:
    """The same as headers of a response."""
    return {_HEADER_OF[name]: value for name, value in energy_facts(used, error_class).items()}


class Bookkeeper:
    """Turns answered requests into uses of energy."""

    def __init__(
        self,
        regions: Mapping[str, RegionSettings],
        sink: UseSink,
        metrics: Metrics,
        grid_of: Callable[[str], IntensitySeries | None] = lambda _: None,
    ) -> None:
        """`grid_of` knows a region's forecast."""
        self._regions, self._sink, self._metrics, self._grid_of = regions, sink, metrics, grid_of
        self._deployments: dict[int, energy.Deployment | None] = {}

    def read_profiles(self, workers: Iterable[WorkerSettings]) -> None:
        """Have all of them at hand before the first request, and no others. Raises CalibrationFileError."""
        self._deployments.clear()
        for worker in workers:
            self._deployment(worker)

    def modelled_j(
        self,
        worker: WorkerSettings,
        *,
        prompt_tokens: int,
        output_tokens: int,
        batch_sequences: int,
        cached_tokens: int = 0,
    ) -> float | None:
        """Energy by the model; None where the settings name no known profile."""
        deployment = self._deployment(worker)
        if deployment is None:
            return None
        return request_energy_j(
            deployment,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            batch_sequences=max(1, batch_sequences),
            cached_tokens=cached_tokens,
        )

    def used(
        self, worker: WorkerSettings, energy_j: float | None, released_at_s: float, ended_at_s: float
    ) -> Used | None:
        """The energy beside its grams; None where the energy is not known."""
        if energy_j is None:
            return None
        ended_at_s = max(ended_at_s, released_at_s + _SHORTEST_USE_S)
        region, series = self._regions[worker.region], self._grid_of(worker.region)
        grams = emissions_gco2e(energy_j / _J_PER_KWH, region.pue, series, released_at_s, ended_at_s)
        return Used(energy_j=energy_j, emissions_gco2e=grams)

    def idle_power_w(self, worker: WorkerSettings) -> float | None:
        """Power of the worker's GPUs without work; None where the settings name no known profile."""
        deployment = self._deployment(worker)
        if deployment is None:
            return None
        return deployment.gpus * energy.idle_power_w(deployment.gpu, energy.GpuState.CONTEXT_IDLE)

    def reading_tokens_per_s(self, worker: WorkerSettings) -> float | None:
        """How fast the worker reads prompts; None where the settings name no known profile."""
        deployment = self._deployment(worker)
        return None if deployment is None else first_token.reading_tokens_per_s(deployment)

    def error_class(self, worker: WorkerSettings) -> ErrorClass | None:
        """How well the profile is known that `modelled_j` answers by; None where there is none."""
        deployment = self._deployment(worker)
        return None if deployment is None else deployment.error_class

    def _deployment(self, worker: WorkerSettings) -> energy.Deployment | None:
        try:
            return self._deployments[id(worker)]
        except KeyError:
            found = self._deployments[id(worker)] = _known_deployment(worker)
            return found

    def book(
        self,
        request: Request,
        worker: WorkerSettings,
        *,
        home: str,
        energy_j: float | None,
        basis: EnergyBasis,
        error_class: ErrorClass | None,
        prompt_tokens: int,
        output_tokens: int,
        released_at_s: float,
        ended_at_s: float,
        at_once_at_s: float,
        tenant: str,
    ) -> None:
        """Record the use, beside the same energy from `at_once_at_s` on in the pool's `home` region."""
        if energy_j is None:
            self._metrics.uncounted.labels(request.model).inc()
            return
        region, at_once = self._regions[worker.region], self._regions[home]
        self._sink.record(
            EnergyUse(
                subject=Subject.REQUEST,
                subject_id=request.id,
                category=str(request.latency_class),
                tenant=tenant,
                region=region.name,
                zone=region.zone,
                started_at_s=released_at_s,
                ended_at_s=max(ended_at_s, released_at_s + _SHORTEST_USE_S),
                energy_kwh=energy_j / _J_PER_KWH,
                basis=basis,
                pue=region.pue,
                at_once_at_s=at_once_at_s,
                at_once_zone=at_once.zone,
                at_once_pue=at_once.pue,
                model=request.served_name,
                prompt_tokens=prompt_tokens,
                output_tokens=output_tokens,
                error_class=error_class,
            )
        )


def _known_deployment(worker: WorkerSettings) -> energy.Deployment | None:
    try:
        return worker_deployment(worker)
    except energy.ProfileError as error:
        log.warning(
            "energy of a worker is unknown", extra={"action": "energy_unknown", "worker": worker.url, "why": str(error)}
        )
        return None
