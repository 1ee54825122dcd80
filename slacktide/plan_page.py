"""The page of a plan: numbers first, then each region's jobs over its grid, then every job with its reason.

One file without script, font, image or address from outside. Decides what is shown and where; computes sums only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from scheduler.jobs import Job
from scheduler.planning.plan import Region, Segment
from scheduler.planning.reasons.explanation import GRAMS_UNIT, ground_of_trace
from scheduler.planning.reasons.explanation_text import instant_text, pieces_of, span_text
from scheduler.planning.whole_fleet.fleet_case import gpus_of
from simulations.charts import Figure
from simulations.page import card, figure, page, section
from simulations.summary import NOTHING, mass
from simulations.svg import Extent
from slacktide.plan_gantt import Bar, RegionView, load_of, region_picture
from slacktide.plan_tables import gpus_text, jobs_table, pools_table, refused_list, saved_cell
from slacktide.plan_told import Told

_STYLE = """
:root{--pool:#7a8fd6}
.skip{position:absolute;left:-999px}.skip:focus{position:static}
figure svg{min-width:680px}figure .picture{overflow-x:auto}
svg a{cursor:pointer}svg a.job rect{fill:var(--policy);stroke:var(--card);stroke-width:.7}
svg a.still rect{fill:var(--baseline)}svg a .time{display:none;stroke:var(--ink);stroke-width:1.5;stroke-dasharray:3 2}
svg a:hover .time,svg a:focus .time{display:inline}
svg a:hover rect,svg a:focus rect{stroke:var(--ink);stroke-width:1.6}svg a:focus{outline:none}
svg text.name{fill:#fff;font-size:10.5px;pointer-events:none}svg a.still text.name{fill:#1c2523}
svg .load{fill:none;stroke-width:1.2;stroke-opacity:.75}
@media (prefers-color-scheme:dark){svg text.name{fill:#0c1512}}
table.jobs :is(td,th):nth-child(2),table.jobs :is(td,th):nth-child(3),table.jobs :is(td,th):last-child{text-align:left}
table.jobs td:last-child{white-space:normal;min-width:270px;padding-right:0}table.jobs td{vertical-align:top}
table.jobs tbody th{vertical-align:top;min-width:15ch;max-width:30ch;overflow-wrap:anywhere;
white-space:normal}
table.jobs td.where{white-space:normal;min-width:13ch}
table.jobs tr:target{background:color-mix(in srgb,var(--accent) 16%,transparent)}
table.jobs tr.refused th,table.jobs tr.refused td.where{color:var(--warn)}
ul.refused{padding-left:18px}ul.refused b{color:var(--warn)}
summary{cursor:pointer}summary:focus-visible,a:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
details ul{margin:6px 0 4px;padding-left:18px;color:var(--soft)}
@media (min-width:721px) and (max-width:980px){.cards{grid-template-columns:1fr 1fr}}
@media print{.wide{overflow:visible}table.jobs{font-size:11px}table.jobs td:last-child{min-width:0}
table.jobs tr{break-inside:avoid}svg text.name{fill:#fff}}
@media (max-width:720px){main{padding:24px 14px 48px}.card.first b{font-size:34px}.card b{font-size:21px}
figure{padding:14px 12px 10px}.card:last-child{grid-column:1/-1}dd{margin:0 0 8px}}
"""


def plan_page(told: Told) -> str:
    """The whole document."""
    found = told.plan
    views = _views(told)
    body = "".join(
        (
            f"<h1>{escape(_headline(told))}</h1>",
            f'<p class="lead">{escape(_lead(told))}</p>',
            _cards(told),
            '<p><a class="skip" href="#jobs">Skip the pictures: to the table of jobs</a></p>',
            *(figure(_figure(told, view)) for view in views),
            section("Refused", refused_list(told)) if told.plan.reasons else "",
            section("Pools of tokens", pools_table(told)) if found.case.pools else "",
            section("Jobs", jobs_table(told)) if found.case.jobs else "",
            section("How these numbers were obtained", _provenance(told)),
        )
    )
    return page(_headline(told), body, _STYLE)


# -- numbers ---------------------------------------------------------------------------------------------------------


def _headline(told: Told) -> str:
    planned, asked = len(told.plan.segments), len(told.plan.case.jobs)
    jobs = f"{asked:,} job{'s' * (asked != 1)}"
    if pools := len(told.plan.case.pools):
        jobs += f" and {pools:,} pool{'s' * (pools != 1)} of tokens"
    return f"Plan of {jobs}" if planned == asked else f"Plan of {planned:,} of {jobs}"


def _lead(told: Told) -> str:
    case = told.plan.case
    windows = [(one.earliest_start_at_s, one.deadline_at_s) for one in case.jobs]
    windows += [(one.earliest_start_at_s, one.deadline_at_s) for one in case.pools]
    if not windows:
        return "The file has no jobs."
    from_s, to_s = min(one[0] for one in windows), max(one[1] for one in windows)
    where = ", ".join(f"{one.name} ({one.gpus} GPUs)" for one in case.regions)
    return f"In {where}, {span_text(from_s, to_s)}. All times are UTC."


def _cards(told: Told) -> str:
    found = told.plan
    proof, at_once = found.certificate, found.run_now
    refused = f"{len(found.reasons):,} refused" if found.reasons else "none refused"
    now = NOTHING if at_once.emissions_gco2e is None else mass(at_once.emissions_gco2e)
    late = f"{at_once.late:,} late" if at_once.late else "none late"
    cards = (
        card(mass(proof.emissions_gco2e), f"emitted by the plan{_saved(told)}", "first"),
        _gap_card(told),
        card(now, f"run at once, {late}"),
        card(f"{len(found.segments):,}", f"jobs planned, {refused}", "bad" if found.reasons else ""),
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _gap_card(told: Told) -> str:
    """How far from the best; of what the plan was chosen by, where that is not grams."""
    proof = told.plan.certificate if told.proof is None or told.unit == GRAMS_UNIT else told.proof
    gap = NOTHING if proof.gap_ratio is None else f"{proof.gap_ratio:.1%}"
    if proof is told.plan.certificate:
        return card(gap, f"at most above the least possible, {mass(proof.lower_bound_gco2e)}")
    what = "USD" if told.unit == "USD" else "of the objective"
    return card(f"{proof.emissions_gco2e:,.2f} {what}", f"chosen by; at most {gap} above the least possible")


def _saved(told: Told) -> str:
    """Beside running at once, over the jobs that the plan runs; empty where that is not known, or pools are in it."""
    if told.plan.case.pools or told.unit != GRAMS_UNIT:
        return ""
    ratio = saved_ratio(told)
    if ratio is None:
        return ""
    return f", {abs(ratio):.1%} {'less' if ratio >= 0 else 'more'} than the same jobs run at once"


def saved_ratio(told: Told) -> float | None:
    """Share of what the planned jobs would emit at once; None where one of them has no number."""
    both = [(one.emissions_gco2e, one.at_once_gco2e) for one in told.explanations.values()]
    known = [(own, at_once) for own, at_once in both if own is not None and at_once is not None]
    at_once_gco2e = sum(at_once for _, at_once in known)
    if len(known) != len(told.plan.segments) or not at_once_gco2e > 0:
        return None
    return 1.0 - sum(own for own, _ in known) / at_once_gco2e


# -- pictures --------------------------------------------------------------------------------------------------------


def _views(told: Told) -> list[RegionView]:
    """The regions that hold work, now or at once; those without are named in the lead."""
    found = told.plan
    if not found.segments and not any(run.segments for run in found.pools.values()):
        return []
    extent_s = _extent_s(told)
    intensity = _intensity_extent(told, extent_s)
    gpus = {job.id: job.gpus for job in found.case.jobs}
    return [
        RegionView(
            region=region,
            series=found.case.forecasts[region.zone],
            bars=_bars(told, region),
            segments=found.segments,
            at_once=found.run_now.segments,
            gpus=gpus,
            extent_s=extent_s,
            intensity_extent=intensity,
            pools=[one for run in found.pools.values() for one in run.segments if one.region == region.name],
        )
        for region in found.case.regions
    ]


def _extent_s(told: Told) -> Extent:
    """From the first start to the last end; a late run at once does not stretch it."""
    runs = [run.segments for run in told.plan.pools.values() if run.segments]
    ends = [one[-1].end_at_s for one in (*told.plan.segments.values(), *runs)]
    starts = [one[0].start_at_s for one in (*told.plan.segments.values(), *runs)]
    starts += [job.earliest_start_at_s for job in told.plan.case.jobs if job.id in told.plan.segments]
    return min(starts), max(ends)


def _intensity_extent(told: Told, extent_s: Extent) -> Extent:
    """Of all regions together, so that they can be compared."""
    found: list[float] = []
    for region in told.plan.case.regions:
        series = told.plan.case.forecasts[region.zone]
        inside = (series.edges_at_s[:-1] < extent_s[1]) & (series.edges_at_s[1:] > extent_s[0])
        values = series.gco2e_per_kwh[inside]
        found += values[~np.isnan(values)].tolist()
    return (min(found), max(found)) if found else (0.0, 1.0)


def _bars(told: Told, region: Region) -> list[Bar]:
    found = []
    for index, job in enumerate(told.plan.case.jobs):
        segments = told.plan.segments.get(job.id, ())
        if any(one.region == region.name for one in segments):
            at_once = told.plan.run_now.segments.get(job.id)
            is_moved = _stretches(job, segments) != _stretches(job, at_once or ())
            found.append(Bar(job=job, hint=_hint(told, job), row=f"job-{index}", is_moved=is_moved))
    return found


def _stretches(job: Job, segments: Sequence[Segment]) -> list[tuple[float, float, str, int]]:
    """What can be seen of a run."""
    return [(one.start_at_s, one.end_at_s, one.region, gpus_of(job, one)) for one in segments]


def _hint(told: Told, job: Job) -> str:
    """What is read aloud, and shown on hover."""
    segments = told.plan.segments[job.id]
    when = span_text(segments[0].start_at_s, segments[-1].end_at_s)
    count = pieces_of(segments)
    pieces = f" in {count} pieces" if count > 1 else ""
    had = span_text(job.earliest_start_at_s, job.deadline_at_s)
    gpus = f"{gpus_text(job, segments)} GPU{'s' * (gpus_text(job, segments) != '1')}"
    return f"{job.id}: {gpus}, {when}{pieces}, {_grams(told.plan.job_gco2e[job.id])}{_share(told, job)}; it had {had}"


def _share(told: Told, job: Job) -> str:
    saved = saved_cell(told, job)
    return "" if saved == NOTHING else f", {saved} saved"


def _figure(told: Told, view: RegionView) -> Figure:
    region, found = view.region, told.plan
    edges, held = load_of(region, view.gpus, found.segments)
    span_s = view.extent_s[1] - view.extent_s[0]
    load_ratio = float(np.sum(np.diff(edges) * held)) / (region.gpus * span_s) if len(held) and span_s > 0 else 0.0
    pue = "" if region.pue == 1.0 else f", PUE {region.pue:g}"
    cap_w = found.case.power_caps_w.get(region.name)
    cap = "" if cap_w is None else f", at most {cap_w / 1000:g} kW"
    filling = "1 job fills" if len(view.bars) == 1 else f"{len(view.bars):,} jobs fill"
    legend = [("waits, pauses or runs elsewhere", "var(--policy)"), ("runs as it would at once", "var(--baseline)")]
    if view.pools:
        legend.append(("GPUs of pools of tokens", "var(--pool)"))
    return Figure(
        title=region.name,
        caption=f"{region.gpus} GPU{'s' * (region.gpus != 1)}{pue}{cap}: {filling} {load_ratio:.0%} of it.",
        picture=f'<div class="picture">{region_picture(view)}</div>',
        legend=tuple(legend),
    )


# -- where it comes from ---------------------------------------------------------------------------------------------


def _provenance(told: Told) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in _facts(told))
    return f"<dl>{facts}</dl>"


def _facts(told: Told) -> Iterator[tuple[str, str]]:
    for zone in dict.fromkeys(region.zone for region in told.plan.case.regions):
        ground = ground_of_trace(told.plan.case.forecasts[zone])
        yield (
            f"grid {zone}",
            f"{ground.quality}, from {ground.feed}, known until {instant_text(ground.known_until_s)}",
        )
    for note in told.notes:
        yield "note", f"{note[0].upper()}{note[1:]}."
    yield "emissions", "GPUs, their power, the PUE and the integral of the zone's intensity; location-based."
    yield (
        "least possible",
        "No plan of the planned jobs emits less than this bound, wherever its runs begin: prices of capacity prove it.",
    )
    yield (
        "run at once",
        "Each job in one piece as early as there is room, by earliest start, then by line of the file; all jobs.",
    )
    if told.unit != GRAMS_UNIT:
        saved = "Of what the plan is chosen by, not of grams: what a job saves of it beside running at once."
        yield "saved", saved
    yield (
        "why",
        "A limit is lifted alone and the job placed anew beside all others; the limit that costs most is named first.",
    )


def _grams(emissions_gco2e: float) -> str:
    return f"{emissions_gco2e:,.0f} gCO2e"
