"""What the gallery shows: each example with its question, the variations of it, and what they taught.

Decides the words and the order. Runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from simulations.results import Results
from simulations.side_items import IDLE


@dataclass(frozen=True, slots=True)
class Variation:
    """One row: a few words, and the values that are set anew."""

    words: str
    changes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One example with the question it answers, variations of it, and what they show."""

    name: str
    question: str
    variations: Sequence[Variation]
    lesson: str
    extras: Sequence[str] = ()
    beside: str = ""  # the extra that is written beside the bars, instead of the saving

    @property
    def picture_words(self) -> str:
        """For those who cannot see it."""
        return f"{self.name}: emissions at once and under the policy for each row of the table"


def _usd(results: Results) -> str:
    costs = results.job_costs
    return "" if costs is None or costs.policy.usd is None else f"{costs.policy.usd:,.0f}"


def _water_m3(results: Results) -> str:
    costs = results.job_costs
    return "" if costs is None or costs.policy.water_l is None else f"{costs.policy.water_l / 1000:.4g}"


def _embodied_kg(results: Results) -> str:
    costs = results.job_costs
    return "" if costs is None else f"{costs.policy.embodied_gco2e / 1000:.4g}"


def _energy_kwh(results: Results) -> str:
    return f"{results.policy.facility_kwh:,.0f}"


def _refused(results: Results) -> str:
    return f"{results.policy.jobs_never_run}"


def _answering_kg(results: Results) -> str:
    """What requests emit without the idling of workers, which is all that the choice of a model moves."""
    grams = sum(one.policy_gco2e for one in results.by_class if not one.name.endswith(IDLE))
    return f"{grams / 1000:.4g}"


def _answered_well(results: Results) -> str:
    ratios = [one.answered_well_ratio for one in results.runs.inputs.chosen]
    return " ".join(f"{ratio:.1%}" for ratio in ratios if ratio is not None)


def _by_the_large(results: Results) -> str:
    ratios = [one.share_ratio(one.models[-1]) for one in results.runs.inputs.chosen]
    return " ".join(f"{ratio:.0%}" for ratio in ratios if ratio is not None)


# A column of a table -> what stands in it, of the policy's side.
EXTRAS: Mapping[str, Callable[[Results], str]] = {
    "USD": _usd,
    "water, m3": _water_m3,
    "embodied, kg": _embodied_kg,
    "facility, kWh": _energy_kwh,
    "jobs refused": _refused,
    "answering, kg": _answering_kg,
    "answered well": _answered_well,
    "by the large": _by_the_large,
}

_MARGINAL = "marginal_gco2e_per_kwh"
_AVERAGE = "gco2e_per_kwh"

_A100_HOURS, _A100_TFLOPS = 8.0, 312


def _generation(tflops: int, power_w: int, embodied_kgco2e: int) -> Sequence[str]:
    """The same jobs on another GPU, at the same share of its peak in dense 16-bit arithmetic."""
    return (
        f"jobs.median_duration_s={3600 * _A100_HOURS * _A100_TFLOPS / tflops:.0f}s",
        f"jobs.power_per_gpu_w={power_w}W",
        f"region.embodied_kgco2e_per_gpu={embodied_kgco2e}",
    )


# DGX H100 10.2 kW, DGX B200 14.3 kW for eight; GPU and an eighth of a server without GPUs (5,700 kg).
H100, B200 = _generation(989, 1275, 985), _generation(2250, 1788, 1312)


def _outage(from_: str, to: str) -> str:
    return f'forecast.outage=[{{from="{from_}", to="{to}"}}]'


EXHIBITS = (
    Exhibit(
        name="follow-the-sun",
        question="Fine-tuning that may run in Sydney, Mumbai, Frankfurt or San Jose: what does moving it save?",
        variations=(
            Variation("anywhere, a day of slack"),
            Variation("only in San Jose", ('jobs.regions=["san-jose"]',)),
            Variation("six hours of slack", ("jobs.slack_s=6h",)),
            Variation("no job may pause", ("jobs.interruptible_ratio=0",)),
        ),
        lesson="""
        At once means in the region named first, Sydney, whose grid burns coal; so most of what moving saves, staying in
        San Jose for good would save as well. The second row is that: compare its grams, not its share.
        """,
    ),
    Exhibit(
        name="night-batch",
        question="Chat, and four times as many requests that have until tomorrow, on the same two workers.",
        variations=(
            Variation("until tomorrow"),
            Variation("within six hours", ("requests.flex_deadline_s=6h",)),
            Variation("only 30% may wait", ("requests.flex_ratio=0.3",)),
        ),
        lesson="""
        Two things save: the clean hours, and that requests which may wait go together in dense batches. On both sides
        the workers stay warm until the last answer of either, so a longer wait adds idle hours to both.
        """,
    ),
    Exhibit(
        name="nightly-training",
        question="Three hours of training every evening, done by morning: what does the slack buy, and the forecast?",
        variations=(
            Variation("eight hours to spare"),
            Variation("three hours to spare", ("jobs.slack_s=3h",)),
            Variation("fourteen hours to spare", ("jobs.slack_s=14h",)),
            Variation("a perfect forecast", ("forecast.kind=perfect",)),
            Variation("no forecast", ("forecast.kind=none",)),
            Variation("a less efficient room", ("region.pue=1.5",)),
        ),
        lesson="""
        Without a forecast (a feed that is dead for two weeks) work runs at once and nothing is late. A worse PUE
        changes grams, not shares.
        """,
    ),
    Exhibit(
        name="code-bursts",
        question="An hour of code completion in bursts, held for up to a second: what does density save by itself?",
        variations=(
            Variation("the adaptive rule"),
            Variation("a fixed window", ("policy.shaping=window",)),
            Variation("nothing is held", ("policy.shaping=pass_through",)),
            Variation("up to five seconds", ("policy.interactive_hold_s=5s",)),
        ),
        lesson="""
        Little, where nobody may wait: bursts come dense already, and idle workers draw their power either way.
        [Shaping](../shaping.md#what-to-expect) says where more is to be had.
        """,
    ),
    Exhibit(
        name="quiet-workers",
        question="Four workers at low load: what does it save to let them sleep?",
        variations=(
            Variation("they sleep, one stays"),
            Variation("nobody sleeps", ("requests.sleeps=false",)),
            Variation("two stay awake", ("requests.min_awake=2",)),
            Variation("asleep means off", ("requests.asleep_power_w=0W",)),
        ),
        lesson="""
        Half of the energy goes into idling; what a sleeping GPU still draws decides how much of it is left.
        """,
    ),
    Exhibit(
        name="carbon-budget",
        question="A small and a large model behind one name: how good are the answers that so many grams a day buy?",
        variations=(
            Variation("always the large model", ("model_pool.service=premium",)),
            Variation("8 kg a day", ("model_pool.budget_gco2e=8000",)),
            Variation("6 kg a day"),
            Variation("4 kg a day", ("model_pool.budget_gco2e=4000",)),
            Variation("callers ask for eco", ("model_pool.service=eco",)),
            Variation("6 kg, twice the requests", ("requests.rate_per_s=0.2",)),
        ),
        lesson="""
        At once every question goes to the large model, and 83.6% of the answers are expected to be good; so what is
        saved here is bought, and its price stands in the row. Half the grams of answering cost seven points of quality
        and no more, because hard questions keep the large model as long as the budget lasts. 6 kg a day are 12 kg in
        two days, and are kept. 4 kg are not: a budget refuses nobody, and questions that the small model cannot answer,
        or a demand that doubles, spend more than there is at the least quality that is allowed. A third to three
        quarters of all grams are workers that wait; a large model that is asked less waits more, which takes back a
        quarter of what routing saves. The chances are drawn; how well they are guessed from a text is measured in
        [routing](../routing.md).
        """,
        extras=("answering, kg", "answered well", "by the large"),
        beside="answered well",
    ),
    Exhibit(
        name="shaky-forecasts",
        question="What do forecast errors cost, and what does a feed that does not answer?",
        variations=(
            Variation("forecasts as they were issued"),
            Variation("perfect forecasts", ("forecast.kind=perfect",)),
            Variation("our own forecasts", ("forecast.kind=seasonal",)),
            Variation("three days without a feed", (_outage("2021-10-11T06:00Z", "2021-10-14T06:00Z"),)),
            Variation("two weeks without a feed", (_outage("2021-10-11T06:00Z", "2021-10-25T06:00Z"),)),
            Variation("no feed, only its past", (_outage("2021-10-01T00:00Z", "2021-11-15T00:00Z"),)),
            Variation("nothing known at all", ("forecast.kind=none",)),
        ),
        lesson="""
        The errors of forecasts four days ahead cost about a quarter of what a perfect forecast would save; our own,
        which knows no weather, costs more than half of it. A feed that is silent for three days costs nothing that can
        be told from chance, because the last forecast still holds and our own continues it; after two weeks the past
        says less and less. In no row is anything late: who knows nothing runs work at once.
        """,
    ),
    Exhibit(
        name="average-or-marginal",
        question="Is it the same work that is clean by average and by marginal intensity?",
        variations=(
            Variation("counted and decided by average"),
            Variation("counted by average, decided by marginal", (f"forecast.column={_MARGINAL}",)),
            Variation(
                "counted by marginal, decided by average", (f"grid.column={_MARGINAL}", f"forecast.column={_AVERAGE}")
            ),
            Variation("counted and decided by marginal", (f"grid.column={_MARGINAL}",)),
            Variation("Portland only: by average", ('jobs.regions=["portland"]',)),
            Variation(
                "Portland only: average, by marginal", ('jobs.regions=["portland"]', f"forecast.column={_MARGINAL}")
            ),
            Variation(
                "Portland only: marginal, by average",
                ('jobs.regions=["portland"]', f"grid.column={_MARGINAL}", f"forecast.column={_AVERAGE}"),
            ),
            Variation("Portland only: by marginal", ('jobs.regions=["portland"]', f"grid.column={_MARGINAL}")),
        ),
        lesson="""
        No. In this month the two signals agree that Montreal is the better place, but on a tenth of what is counted: by
        average the move saves nine tenths, by marginal a fifth. In one place they agree on nothing: what waits in
        Portland for the cleanest average hours emits more by marginal intensity than at once. So a saving says which
        signal it is counted in, and sums of both mean nothing; average grams are life-cycle, marginal ones direct.
        """,
    ),
    Exhibit(
        name="price-or-carbon",
        question="Is the cheap hour the clean hour, and what does a price for carbon change?",
        variations=(
            Variation("grams alone"),
            Variation("dollars alone", ("objective.gco2e=0", "objective.usd=1")),
            Variation("100 USD a tonne", ("objective.gco2e=0.0001", "objective.usd=1")),
            Variation("1000 USD a tonne", ("objective.gco2e=0.001", "objective.usd=1")),
        ),
        lesson="""
        Mostly: where gas sets the price, wind and sun make hours both cheap and clean, so either aim brings most of the
        other. What is left between them is small, and 100 USD a tonne moves plans little where power costs eight times
        as much as the carbon in it. At once the work costs 910 USD.
        """,
        extras=("USD",),
    ),
    Exhibit(
        name="gpu-generations",
        question="Do newer GPUs pay for their making, in a dirty and in a clean grid?",
        variations=(
            Variation("A100, Great Britain"),
            Variation("A100 that are there anyway", ("region.embodied_kgco2e_per_gpu=0",)),
            Variation("H100, Great Britain", H100),
            Variation("B200, Great Britain", B200),
            Variation("A100, Quebec", ("region.zone=CA-QC",)),
            Variation("H100, Quebec", ("region.zone=CA-QC", *H100)),
            Variation("B200, Quebec", ("region.zone=CA-QC", *B200)),
        ),
        lesson="""
        At the same share of their peak, which flatters the newer ones, the step to H100 halves the energy of a job
        and the next takes another two fifths, far more than waiting saves. In Great Britain making the GPUs is about
        a tenth of the sum or less; in Quebec an A100 emits about as much by having been made as by running, there is
        hardly anything to wait for, and what counts is how long a GPU is used. An hour of a GPU is charged as if it
        were busy for all of its four years; idle ones cost more. The kg of the first columns are the grid's, to which
        those embodied are added.
        """,
        extras=("facility, kWh", "embodied, kg"),
    ),
    Exhibit(
        name="cooling",
        question="What do the ways of cooling do to grams and to water?",
        variations=(
            Variation("air"),
            Variation("hyperscale, evaporating", ("region.pue=1.1", "region.wue_l_per_kwh=1.0")),
            Variation("closed liquid loop", ("region.pue=1.15", "region.wue_l_per_kwh=0")),
            Variation("two-phase, waterless", ("region.pue=1.07", "region.wue_l_per_kwh=0")),
            Variation("air, chosen by water", ("objective.gco2e=0", "objective.water_l=1")),
        ),
        lesson="""
        The room decides more than the hour: from air to two-phase cooling is three tenths of the grams, waiting saves
        an eighth in any of them. Closed loops and two-phase cooling use no water on site, but three fifths of the
        air-cooled room's water is in its electricity, and stays. Water for a kWh is one number a country here, so
        there is nothing to choose by waiting, and the last row runs at once. PUE and water on site: a room cooled
        with air 1.5 and 1.8 L/kWh; large operators 1.1 and 0.2 to 1.0; closed loops 1.15 and none; two-phase 1.05 to
        1.10 and none by the makers' own claims.
        """,
        extras=("facility, kWh", "water, m3"),
    ),
    Exhibit(
        name="rebound",
        question="A third less energy for each job, and what growth makes of it.",
        variations=(
            Variation("as before"),
            Variation("a third less energy", ("jobs.power_per_gpu_w=467W",)),
            Variation("... and half as many again", ("jobs.power_per_gpu_w=467W", "jobs.growth_ratio=1.5")),
            Variation("... and twice as many", ("jobs.power_per_gpu_w=467W", "jobs.growth_ratio=2")),
            Variation(
                "... and at most 25 kg a day",
                ("jobs.power_per_gpu_w=467W", "jobs.growth_ratio=2", "budget.gco2e=25000"),
            ),
        ),
        lesson="""
        A third less energy for each job is a third less in all only while nobody asks for more. Half as much demand
        again eats the gain, as (1 - 1/3)(1 + 1/2) = 1, and twice the demand emits a third more than before, with a
        saving of which every row can boast. Only an absolute cap stops it, and it stops it by saying no: jobs that no
        day can pay for are not accepted, here 21 of 240 with more than a quarter of the energy, and count as late. What
        is refused counts on neither side, so the last row shows the work that was accepted.
        """,
        extras=("facility, kWh", "jobs refused"),
    ),
)
