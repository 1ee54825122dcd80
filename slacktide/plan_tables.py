"""The tables of a plan's page: refused jobs and what would help, pools, every job and why. Decides no number."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from scheduler.jobs import Job
from scheduler.planning.plan import Segment
from scheduler.planning.reasons.explanation_text import instant_text, one_line, pieces_of, sentences
from scheduler.planning.whole_fleet.fleet_case import gpus_of
from simulations.summary import NOTHING
from simulations.svg import calendar_day
from slacktide.plan_pools import POOL_HEADINGS, pool_rows, reason_of
from slacktide.plan_told import Told

_COLUMNS = ("job", "where", "when", "GPUs", "gCO2e", "saved", "why")
# Place and forecast stand in the row and at the end of the page.
_SAID_ELSEWHERE = ("runs", "forecast")
# So many refused jobs are listed before the table; all are in it.
_SHOWN_REFUSED = 20


def refused_list(told: Told) -> str:
    """With what would help, so that nobody has to look for it among the others."""
    refused = [job.id for job in told.plan.case.jobs if job.id in told.plan.reasons]
    rows = "".join(f"<li><b>{escape(name)}</b>: {escape(told.reason(name))}</li>" for name in refused[:_SHOWN_REFUSED])
    more = f"<li>and {len(refused) - _SHOWN_REFUSED:,} more, in the table</li>" if len(refused) > _SHOWN_REFUSED else ""
    return f'<ul class="refused">{rows}{more}</ul>'


def pools_table(told: Told) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (*POOL_HEADINGS, "why"))
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}'
        f"<td>{escape(reason_of(told.plan, pool))}</td></tr>"
        for pool, (name, *cells) in zip(told.plan.case.pools, pool_rows(told.plan), strict=True)
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Pools of tokens">'
        f'<table class="jobs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def jobs_table(told: Told) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in _COLUMNS)
    rows = "".join(_row(told, index) for index in range(len(told.plan.case.jobs)))
    return (
        '<div class="wide" id="jobs" tabindex="0" role="region" aria-label="Jobs">'
        f'<table class="jobs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(told: Told, index: int) -> str:
    job = told.plan.case.jobs[index]
    segments = told.plan.segments.get(job.id, ())
    cells = _planned_cells(told, job, segments) if segments else ("refused", "", str(job.gpus), "", "")
    where, *rest = cells
    kind = "" if segments else ' class="refused"'
    return (
        f'<tr id="job-{index}"{kind}><th scope="row">{escape(job.id)}</th><td class="where">{escape(where)}</td>'
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in rest)}<td>{_why(told, job)}</td></tr>"
    )


def _planned_cells(told: Told, job: Job, segments: Sequence[Segment]) -> tuple[str, ...]:
    where = ", ".join(dict.fromkeys(one.region for one in segments))
    count = pieces_of(segments)
    pieces = f" ({count} pieces)" if count > 1 else ""
    return (
        f"{where}{pieces}",
        _when(segments[0].start_at_s, segments[-1].end_at_s),
        gpus_text(job, segments),
        f"{told.plan.job_gco2e[job.id]:,.0f}",
        saved_cell(told, job),
    )


def _when(from_s: float, to_s: float) -> str:
    """`2 Mar 11:22 to 13:36`, the second day only where it is another; the year is in the lead."""
    (day, start), (other_day, end) = ((calendar_day(at_s)[:-5], instant_text(at_s)[11:16]) for at_s in (from_s, to_s))
    return f"{day} {start} to {end}" if day == other_day else f"{day} {start} to {other_day} {end}"


def saved_cell(told: Told, job: Job) -> str:
    explanation = told.explanations.get(job.id)
    ratio = None if explanation is None else explanation.saves_ratio
    return NOTHING if ratio is None else f"{round(ratio, 2) + 0.0:.0%}"


def _why(told: Told, job: Job) -> str:
    """A summary that opens; the whole reason at once where the job is refused."""
    explanation = told.explanations.get(job.id)
    if explanation is None:
        return escape(told.reason(job.id))
    said = [one for one in sentences(explanation) if one[0] not in _SAID_ELSEWHERE]
    lines = "".join(f"<li>{escape(heading)}: {escape(sentence)}</li>" for heading, sentence in said)
    return f"<details><summary>{escape(one_line(explanation))}</summary><ul>{lines}</ul></details>"


def gpus_text(job: Job, segments: Sequence[Segment]) -> str:
    """`4`, or `1 to 4` of a job that takes more and fewer."""
    counts = {gpus_of(job, one) for one in segments}
    return str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
