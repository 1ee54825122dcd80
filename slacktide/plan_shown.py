"""How `slacktide plan` shows one job: a table, its pieces, and the intensity of each zone as a line of bars."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intensity_feeds.series import IntensitySeries
    from scheduler.planning.one_job.preemptible import Work
    from scheduler.planning.one_job.single import Comparison, Run
    from scheduler.planning.plan import Segment

_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 48  # of the sparkline, so that a line with its zone and range fits 80


def show(found: Comparison, work: Work, series: Mapping[str, IntensitySeries], first_zone: str) -> None:
    """What was found, beside starting at once."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "zone", "start", "end"):
        table.add_column(heading)
    for heading in ("gCO2e/kWh", "gCO2e"):
        table.add_column(heading, justify="right")
    table.add_row(*_row("planned", found.best))
    if found.at_once is not None:
        table.add_row(*_row("at once", found.at_once))
    Console(highlight=False).print(table)
    if len(found.best.segments) > 1:
        _show_segments(found.best)
    print()
    for zone, one in series.items():
        _show_sparkline(zone, one, work, found.best)
    print(f"\n{verdict(found.savings_ratio, first_zone)}")


def verdict(saves_ratio: float | None, first_zone: str) -> str:
    if saves_ratio is None:
        return f"What starting at once in {first_zone} emits is not known, so no saving is claimed."
    if abs(saves_ratio) < 0.0005:
        return f"Nothing is cleaner than starting at once in {first_zone}."
    verb = "saves" if saves_ratio > 0 else "emits more:"
    return f"The plan {verb} {abs(saves_ratio):.1%} against starting at once in {first_zone}."


def _row(what: str, run: Run) -> tuple[str, ...]:
    zones = list(dict.fromkeys(one.region for one in run.segments))
    emissions = f"{run.emissions_gco2e:,.0f}" if run.emissions_gco2e >= 100 else f"{run.emissions_gco2e:,.2f}"
    return (
        what,
        ", ".join(zones),
        short_instant(run.start_at_s),
        short_instant(run.end_at_s),
        f"{run.mean_gco2e_per_kwh:.1f}",
        emissions,
    )


def short_instant(instant_s: float) -> str:
    """To the minute where nothing is lost by it."""
    from scheduler.quantities import format_instant

    return format_instant(instant_s).replace(":00Z", "Z")


def _show_segments(run: Run) -> None:
    from scheduler.quantities import format_duration

    shown = run.segments if len(run.segments) <= 12 else run.segments[:12]
    print(f"\nin {len(run.segments)} pieces:")
    for one in shown:
        print(f"  {short_instant(one.start_at_s)}  {format_duration(one.duration_s):>12}  {one.region}")
    if len(shown) < len(run.segments):
        print(f"  and {len(run.segments) - len(shown)} more; --json lists them all")


def _show_sparkline(zone: str, one: IntensitySeries, work: Work, run: Run) -> None:
    """Intensity from the earliest start to the deadline, and below it a line where the job runs in this zone."""
    import numpy as np

    edges = np.linspace(work.earliest_s, work.deadline_s, _COLUMNS + 1).tolist()
    columns = list(pairwise(edges))
    means = [one.mean_gco2e_per_kwh(*column) if one.covers(*column) else None for column in columns]
    values = [mean for mean in means if mean is not None]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    bars = "".join(_bar(mean, low, high) for mean in means)
    pieces = [piece for piece in run.segments if piece.region == zone]
    runs = "".join("━" if any(_touch(piece, *column) for piece in pieces) else " " for column in columns)
    print(f"{zone:<12} {bars} {low:.0f} to {high:.0f} g/kWh" if values else f"{zone:<12} not known here")
    if runs.strip():
        print(f"{'':<12} {runs} runs here")


def _bar(mean_gco2e_per_kwh: float | None, low: float, high: float) -> str:
    if mean_gco2e_per_kwh is None:
        return "·"
    return _BARS[round((mean_gco2e_per_kwh - low) / (high - low) * (len(_BARS) - 1))] if high > low else _BARS[0]


def _touch(piece: Segment, start_at_s: float, end_at_s: float) -> bool:
    return min(piece.end_at_s, end_at_s) > max(piece.start_at_s, start_at_s)
