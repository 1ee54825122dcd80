"""A self-contained page about one comparison: numbers first, then the pictures, then how they were obtained.

No script, no font, no image and no address from outside: it opens anywhere, prints, and follows light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from scheduler.quantities import format_duration
from simulations.bands import in_words
from simulations.charts import Figure, figures
from simulations.results import Results
from simulations.scenario import ForecastKind
from simulations.summary import NOTHING, Row, class_rows, energy, mass, side_rows
from simulations.svg import calendar_day
from simulations.timeline import timeline_of

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2523;--soft:#5d6a66;--line:#dde3e0;--paper:#fbfcfb;--card:#ffffff;
--accent:#0f7a5f;--warn:#a3341f;--baseline:#a9b2af;--policy:#12876a;
--series-0:#2f6f8f;--series-1:#6aa7c2;--series-2:#e0a458;--series-3:#b65c45;--series-4:#7d6aa5;--series-5:#5f9e6e;
--series-6:#c98bb0;--series-7:#9a9a5a}
@media (prefers-color-scheme:dark){:root{--ink:#e6ecea;--soft:#9aa8a3;--line:#2c3835;--paper:#121816;--card:#19211e;
--accent:#4cc9a4;--warn:#f08a72;--baseline:#6f7b77;--policy:#3fbf9a;
--series-0:#5ba3c6;--series-1:#93c9de;--series-2:#e8b878;--series-3:#d98068;--series-4:#a797cf;--series-5:#86c596;
--series-6:#dfabca;--series-7:#c2c283}}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#ccc;--paper:#fff;--card:#fff;--accent:#0f7a5f;
--warn:#a3341f;--baseline:#a9b2af;--policy:#12876a}figure,.cards{break-inside:avoid}main{max-width:none;padding:0}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1040px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}h2{font-size:20px;margin:0 0 2px}
.lead{color:var(--soft);margin:0 0 28px;max-width:70ch}
.cards{display:grid;grid-template-columns:1.25fr 1.1fr 1fr 1fr;gap:14px;margin:0 0 32px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 18px}
.card b{display:block;font-size:25px;white-space:nowrap;line-height:1.2;font-variant-numeric:tabular-nums}
.card.first b{font-size:44px;color:var(--accent)}.card.first.worse b,.card.bad b{color:var(--warn)}
.card span{color:var(--soft);font-size:14px}
figure{margin:0 0 22px;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px 20px 14px}
figcaption p{margin:0 0 10px;color:var(--soft);font-size:14px}
svg{display:block;width:100%;height:auto;font-family:inherit}
svg text{fill:var(--soft);font-size:12px}svg text.unit{font-size:12px;fill:var(--soft)}
svg text.heading{fill:var(--ink);font-weight:600;font-size:13px}svg text.label{fill:var(--ink);font-size:13px}
svg text.strong{fill:var(--ink);font-weight:600;font-size:14px}
svg .grid{stroke:var(--line);stroke-width:1}svg .slack{stroke:var(--soft);stroke-opacity:.4;stroke-width:1.5}
svg .curve{fill:none;stroke-width:2.5;stroke-linejoin:round}
ul.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0 0;padding:0;font-size:13px}
ul.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}thead th{color:var(--soft);font-weight:500}
tbody th{font-weight:400}section{margin:34px 0 0}dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;
font-size:14px;margin:8px 0 0}dt{color:var(--soft)}dd{margin:0}
@media (max-width:720px){.cards{grid-template-columns:1fr 1fr}.card.first{grid-column:1/-1}
dl{grid-template-columns:1fr}}
"""


def html_report(results: Results) -> str:
    """The whole page."""
    scenario = results.runs.inputs.scenario
    timeline = timeline_of(results)
    body = "".join(
        (
            f"<h1>{escape(scenario.name)}</h1>",
            f'<p class="lead">{escape(_lead(results))}</p>',
            _cards(results),
            *(_figure(figure) for figure in figures(results, timeline)),
            _section("Both sides in numbers", _table(("", "run at once", "policy"), side_rows(results))),
            _section("Classes of work", _table(_CLASS_COLUMNS, class_rows(results))),
            _section("How these numbers were obtained", _provenance(results)),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(scenario.name)}: what waiting saves</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    ).replace("CO2e", "CO\N{SUBSCRIPT TWO}e")


_CLASS_COLUMNS = ("class", "items", "kWh", "run at once", "policy", "saved")


def _lead(results: Results) -> str:
    scenario = results.runs.inputs.scenario
    span = f"{calendar_day(scenario.start)} to {calendar_day(results.runs.end_at_s)}"
    words = f"{scenario.description} " if scenario.description else ""
    return f"{words}Simulated from {span}."


def _cards(results: Results) -> str:
    ratio = results.savings_ratio
    is_worse = ratio is not None and ratio < 0
    shown = NOTHING if ratio is None else f"{abs(ratio):.1%}"
    met = results.deadline_misses_baseline_met
    cards = [
        _card(
            shown, "more emissions than at once" if is_worse else "of emissions saved", f"first{' worse' * is_worse}"
        ),
        _card(mass(abs(results.avoided_gco2e)), "added" if results.avoided_gco2e < 0 else "avoided"),
        _card(f"{met:,}", "deadlines missed that running at once would have met", "bad" if met else ""),
        _card(*_cost(results)),
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _cost(results: Results) -> tuple[str, str]:
    """What the savings cost: waiting of jobs, else of requests."""
    if results.policy.wait.p50_s is not None:
        return format_duration(results.policy.wait.p50_s), "median wait of a job beyond its run time"
    latency_s = results.policy.latency.p50_s
    return (NOTHING if latency_s is None else format_duration(latency_s)), "median latency of a request"


def _card(value: str, words: str, kind: str = "") -> str:
    return f'<div class="card {kind}"><b>{escape(value)}</b><span>{escape(words)}</span></div>'


def _figure(figure: Figure) -> str:
    entries = "".join(f'<li><i style="background:{colour}"></i>{escape(name)}</li>' for name, colour in figure.legend)
    legend = f'<ul class="legend">{entries}</ul>' if entries else ""
    return (
        f"<figure><figcaption><h2>{escape(figure.title)}</h2><p>{escape(figure.caption)}</p></figcaption>"
        f"{figure.picture}{legend}</figure>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _provenance(results: Results) -> str:
    facts = [("baseline", _BASELINE)]
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


def _grids(results: Results) -> list[tuple[str, str]]:
    return [
        (zone, f"{series.signal}, {series.basis}, {series.quality}; {series.source or 'source not named'}")
        for zone, series in sorted(results.runs.inputs.grid.realised.items())
    ]


def _forecast(results: Results) -> str:
    settings = results.runs.inputs.scenario.forecast
    reach = f"{format_duration(settings.horizon_s)} ahead, renewed every {format_duration(settings.renew_s)}"
    match settings.kind:
        case ForecastKind.PERFECT:
            return f"perfect, {reach}: an upper bound for what planning can save"
        case ForecastKind.SEASONAL:
            return f"our own, from the two weeks before each issue, {reach}"
        case ForecastKind.NONE:
            return "none: the policy knew nothing of the grid"


def _energy(results: Results) -> str:
    idle = energy(results.policy.idle_kwh)
    return (
        "Modelled, not metered: requests by the GPU and model profiles, jobs by the power the scenario gives. "
        f"{in_words(results.runs.inputs.deployments)} "
        f"Warm workers' idling is included ({idle} under the policy); GPUs that no job holds are not. "
        "Emissions are location-based and include PUE."
    )


def _left_out(results: Results) -> str:
    return (
        f"{energy(results.baseline.unpriced_kwh)} at once and {energy(results.policy.unpriced_kwh)} under the policy "
        "belong to work whose intensity is unknown on one side, or that one side did not do; "
        "its emissions count on neither."
    )
