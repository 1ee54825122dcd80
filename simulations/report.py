"""A self-contained page about one comparison: numbers first, then the pictures, then how they were obtained.

No script, no font, no image and no address from outside: it opens anywhere, prints, and follows light and dark.
"""

from __future__ import annotations

from html import escape

from scheduler.quantities import format_duration
from simulations.bands import in_words
from simulations.charts import Figure, figures
from simulations.comparison import PolicyTable, columns, text_rows
from simulations.page import card, figure, page, section, table
from simulations.policy_bars import policy_figure
from simulations.region_bars import region_figure
from simulations.results import Results
from simulations.savings_parts import SavingsParts
from simulations.scenario import ForecastKind
from simulations.summary import NOTHING, class_rows, energy, mass, side_rows
from simulations.svg import calendar_day
from simulations.timeline import timeline_of
from simulations.waterfall import waterfall_figure


def html_report(results: Results, policies: PolicyTable | None = None, parts: SavingsParts | None = None) -> str:
    """The whole page; with `policies`, other ways of running the work, with `parts`, where the saving comes from."""
    scenario = results.runs.inputs.scenario
    body = "".join(
        (
            f"<h1>{escape(scenario.name)}</h1>",
            f'<p class="lead">{escape(_lead(results))}</p>',
            _cards(results),
            *(figure(one) for one in _pictures(results, parts)),
            _beside(policies),
            section("Both sides in numbers", table(("", "run at once", "policy"), side_rows(results))),
            section("Classes of work", table(_CLASS_COLUMNS, class_rows(results))),
            section("How these numbers were obtained", _provenance(results)),
        )
    )
    return page(f"{scenario.name}: what waiting saves", body)


def pictures(results: Results, policies: PolicyTable | None = None, parts: SavingsParts | None = None) -> list[Figure]:
    """Every picture of the page in its order."""
    beside = [policy_figure(policies)] if policies is not None and len(policies.rows) > 2 else []
    return [*_pictures(results, parts), *beside]


def _pictures(results: Results, parts: SavingsParts | None) -> list[Figure]:
    """When and where the work ran, where the saving comes from, and then the rest."""
    first, *others = figures(results, timeline_of(results))
    shown = [first]
    if len(results.runs.inputs.scenario.region) > 1:
        shown.append(region_figure(results))
    if parts is not None and parts.by_part_gco2e and parts.baseline_gco2e > 0:
        shown.append(waterfall_figure(parts))
    return [*shown, *others]


def _beside(policies: PolicyTable | None) -> str:
    """A picture, where there is more to show than the two sides, and the table."""
    if policies is None:
        return ""
    picture = figure(policy_figure(policies)) if len(policies.rows) > 2 else ""
    return picture + section("Every policy in numbers", table(columns(policies), text_rows(policies)))


_CLASS_COLUMNS = ("class", "items", "kWh", "run at once", "policy", "saved")


def _lead(results: Results) -> str:
    scenario = results.runs.inputs.scenario
    first, last = calendar_day(scenario.start), calendar_day(results.runs.end_at_s)
    words = f"{scenario.description} " if scenario.description else ""
    return f"{words}Simulated {f'on {first}' if first == last else f'from {first} to {last}'}."


def _cards(results: Results) -> str:
    ratio = results.savings_ratio
    is_worse = ratio is not None and ratio < 0
    shown = NOTHING if ratio is None else f"{abs(ratio):.1%}"
    met = results.deadline_misses_baseline_met
    cards = [
        card(shown, "more emissions than at once" if is_worse else "of emissions saved", f"first{' worse' * is_worse}"),
        card(mass(abs(results.avoided_gco2e)), "added" if results.avoided_gco2e < 0 else "avoided"),
        card(f"{met:,}", "deadlines missed that running at once would have met", "bad" if met else ""),
        card(*_cost(results)),
        *_quality(results),
    ]
    return f'<div class="cards{" five" * (len(cards) > 4)}">{"".join(cards)}</div>'


def _cost(results: Results) -> tuple[str, str]:
    """What the savings cost: waiting of jobs, else of requests."""
    if results.policy.wait.p50_s is not None:
        return format_duration(results.policy.wait.p50_s), "median wait of a job beyond its run time"
    latency_s = results.policy.latency.p50_s
    return (NOTHING if latency_s is None else format_duration(latency_s)), "median latency of a request"


def _quality(results: Results) -> list[str]:
    """Where models are chosen: how much worse, or better, answers are expected to be for it."""
    before, after = results.baseline.answered_well_ratio, results.policy.answered_well_ratio
    if before is None or after is None:
        return []
    return [card(f"{after:.1%}", f"of answers are expected to be good, {before:.1%} at once", "bad" * (after < before))]


def _provenance(results: Results) -> str:
    facts = [("baseline", " ".join((_BASELINE, *_without_router(results))))]
    facts += [(f"grid {zone}", words) for zone, words in _grids(results)]
    facts += [("forecast", _forecast(results)), ("energy", _energy(results))]
    if results.policy.unpriced_kwh or results.baseline.unpriced_kwh:
        facts.append(("left out", _left_out(results)))
    facts.append(("seed", f"{results.runs.inputs.scenario.seed}; the same scenario and seed give the same numbers"))
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in facts) + "</dl>"


_BASELINE = (
    "The same work through the same queue, GPUs and workers, each job as early as there is room and no request held. "
    "Savings are signed."
)


def _without_router(results: Results) -> list[str]:
    return [
        f"Without a router, all requests of {pool.name} go to {pool.without_router}; answers are expected to be good "
        "by the accuracies that the scenario gives."
        for pool in results.runs.inputs.scenario.model_pool
    ]


def _grids(results: Results) -> list[tuple[str, str]]:
    return [
        (zone, f"{series.signal}, {series.basis}, {series.quality}; {series.source or 'source not named'}")
        for zone, series in sorted(results.runs.inputs.grid.realised.items())
    ]


def _forecast(results: Results) -> str:
    inputs = results.runs.inputs
    words = [_forecast_kind(results)]
    if inputs.grid.seen:
        seen = next(iter(inputs.grid.seen.values()))
        words.append(f"decisions saw another signal than the one counted: {seen.signal}, {seen.basis}")
    if silent_s := sum(one.to - one.from_ for one in inputs.scenario.forecast.outage):
        words.append(f"the feed did not answer for {format_duration(silent_s)}")
    return "; ".join(words)


def _forecast_kind(results: Results) -> str:
    settings = results.runs.inputs.scenario.forecast
    reach = f"{format_duration(settings.horizon_s)} ahead, renewed every {format_duration(settings.renew_s)}"
    match settings.kind:
        case ForecastKind.PERFECT:
            return f"perfect, {reach}: what the grid really emitted, so nothing is lost to forecast error"
        case ForecastKind.SEASONAL:
            return f"our own, from the two weeks before each issue, {reach}"
        case ForecastKind.RECORDED:
            return f"as it was issued at the time, {reach}; {settings.trace.rpartition('/')[2]}"
        case ForecastKind.NONE:
            return "none: the policy knew nothing of the grid"


def _energy(results: Results) -> str:
    inputs = results.runs.inputs
    words = ["Modelled, not metered."]
    if inputs.requests:
        idle = energy(results.policy.idle_kwh)
        words += ["Requests by the GPU and model profiles.", in_words(inputs.deployments)]
        words.append(f"Warm workers' idling is included ({idle} under the policy).")
    if inputs.jobs:
        words.append("Jobs by the power that the scenario gives; GPUs that no job holds are not included.")
    return " ".join((*words, "Emissions are location-based and include PUE."))


def _left_out(results: Results) -> str:
    return (
        f"{energy(results.baseline.unpriced_kwh)} at once and {energy(results.policy.unpriced_kwh)} under the policy "
        "belong to work whose intensity is unknown on one side, or that one side did not do; "
        "its emissions count on neither."
    )
