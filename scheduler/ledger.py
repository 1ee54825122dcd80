"""What was used, what it emitted, and what running everything at once would have emitted.

Folds uses of energy and intensity series into sums. Knows no clock, no store and no default: a use whose interval has
no intensity is counted as unpriced energy, never as zero grams.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from intensity_feeds.series import IntensitySeries, SeriesError
from scheduler.ledger_bands import Bands, ClassSum, bands_of
from shaping.deployment import ErrorClass


class EnergyBasis(StrEnum):
    METERED = "metered"
    MODELLED = "modelled"
    MIXED = "mixed"


class Subject(StrEnum):
    REQUEST = "request"
    JOB = "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyUse:
    """Constant power over one interval for one request or one piece of a job, and when it would have run at once.

    `energy_kwh` is IT energy; the facility's is `energy_kwh * pue`. The counterfactual is the same energy over an
    interval of the same length from `at_once_at_s` in `at_once_zone`, unless another energy or length is told: that of
    an elastic job on its own number of GPUs. `category` is the latency class or the purpose. `error_class` says how
    well the energy is known; None where that is not ours to say, as of a power that somebody states.
    """

    subject: Subject
    subject_id: str
    category: str
    tenant: str
    region: str
    zone: str
    started_at_s: float
    ended_at_s: float
    energy_kwh: float
    basis: EnergyBasis
    pue: float
    at_once_at_s: float
    at_once_zone: str
    at_once_pue: float
    model: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    at_once_energy_kwh: float | None = None
    at_once_lasted_s: float | None = None
    error_class: ErrorClass | None = None

    @property
    def at_once_end_at_s(self) -> float:
        lasted_s = self.ended_at_s - self.started_at_s if self.at_once_lasted_s is None else self.at_once_lasted_s
        return self.at_once_at_s + lasted_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Sums over uses. `priced_ratio` is the share of energy whose emissions are known on both sides.

    `bands` are of the energy whose error class is known, `unbanded_kwh` is the rest.
    """

    uses: int = 0
    energy_kwh: float = 0.0
    emissions_gco2e: float = 0.0
    at_once_emissions_gco2e: float = 0.0
    unpriced_kwh: float = 0.0
    metered_kwh: float = 0.0
    unbanded_kwh: float = 0.0
    bands: Bands | None = None
    by_category: Mapping[str, Account] = field(default_factory=dict)

    @property
    def avoided_gco2e(self) -> float:
        """Signed: negative when waiting made it worse."""
        return self.at_once_emissions_gco2e - self.emissions_gco2e

    @property
    def savings_ratio(self) -> float | None:
        if self.at_once_emissions_gco2e == 0:
            return None
        return self.avoided_gco2e / self.at_once_emissions_gco2e

    @property
    def priced_ratio(self) -> float | None:
        return None if self.energy_kwh == 0 else 1.0 - self.unpriced_kwh / self.energy_kwh


def emissions_gco2e(
    energy_kwh: float, pue: float, series: IntensitySeries | None, start_at_s: float, end_at_s: float
) -> float | None:
    """Location-based emissions of energy spread evenly over an interval; None where the intensity is not known."""
    if series is None or not series.covers(start_at_s, end_at_s) or start_at_s >= series.end_at_s:
        return None
    return energy_kwh * pue * series.mean_gco2e_per_kwh(start_at_s, end_at_s)


def realised_then_expected(history: IntensitySeries | None, forecast: IntensitySeries | None) -> IntensitySeries | None:
    """What was realised as far as it is known, and the forecast after that."""
    if history is None or forecast is None:
        return history or forecast
    try:
        rest_from_s = max(history.end_at_s, forecast.start_at_s)
        if rest_from_s >= forecast.end_at_s:
            return history
        return history.followed_by(forecast.between(rest_from_s, forecast.end_at_s))
    except SeriesError:  # marginal beside average: the realised one counts
        return history


def settle(uses: Iterable[EnergyUse], intensity: Mapping[str, IntensitySeries]) -> Account:
    """Price every use on `intensity` (by zone), beside its counterfactual, in total and by category."""
    settlement = Settlement(intensity)
    settlement.add(uses)
    return settlement.account()


class Settlement:
    """The same for uses that come a page at a time: what is kept of them are sums."""

    def __init__(self, intensity: Mapping[str, IntensitySeries]) -> None:
        self._intensity = intensity
        self._total = _Sum()
        self._categories: dict[str, _Sum] = {}

    def add(self, uses: Iterable[EnergyUse]) -> None:
        intensity = self._intensity
        for use in uses:
            actual = emissions_gco2e(use.energy_kwh, use.pue, intensity.get(use.zone), use.started_at_s, use.ended_at_s)
            at_once = emissions_gco2e(
                use.energy_kwh if use.at_once_energy_kwh is None else use.at_once_energy_kwh,
                use.at_once_pue,
                intensity.get(use.at_once_zone),
                use.at_once_at_s,
                use.at_once_end_at_s,
            )
            for one in (self._total, self._categories.setdefault(use.category, _Sum())):
                one.add(use, actual, at_once)

    def account(self) -> Account:
        return self._total.account({name: one.account({}) for name, one in sorted(self._categories.items())})


class _Sum:
    def __init__(self) -> None:
        self.uses = 0
        self.energy_kwh = self.emissions_gco2e = self.at_once_gco2e = self.unpriced_kwh = self.metered_kwh = 0.0
        self._classes: dict[ErrorClass | None, ClassSum] = {}

    def add(self, use: EnergyUse, actual_gco2e: float | None, at_once_gco2e: float | None) -> None:
        self.uses += 1
        self.energy_kwh += use.energy_kwh
        if use.basis is EnergyBasis.METERED:
            self.metered_kwh += use.energy_kwh
        alike = self._alike(use.error_class)
        alike.energy_kwh += use.energy_kwh
        # Both sides or neither: a saving against an unknown is no saving.
        if actual_gco2e is None or at_once_gco2e is None:
            self.unpriced_kwh += use.energy_kwh
            return
        self.emissions_gco2e += actual_gco2e
        self.at_once_gco2e += at_once_gco2e
        alike.emissions_gco2e += actual_gco2e
        alike.avoided_gco2e += at_once_gco2e - actual_gco2e
        alike.is_priced = True

    def _alike(self, error_class: ErrorClass | None) -> ClassSum:
        found = self._classes.get(error_class)
        if found is None:
            found = self._classes[error_class] = ClassSum()
        return found

    def account(self, by_category: Mapping[str, Account]) -> Account:
        return Account(
            uses=self.uses,
            energy_kwh=self.energy_kwh,
            emissions_gco2e=self.emissions_gco2e,
            at_once_emissions_gco2e=self.at_once_gco2e,
            unpriced_kwh=self.unpriced_kwh,
            metered_kwh=self.metered_kwh,
            unbanded_kwh=self._classes[None].energy_kwh if None in self._classes else 0.0,
            bands=bands_of(self._classes),
            by_category=by_category,
        )
