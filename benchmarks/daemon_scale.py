"""What one daemon carries: ten thousand held streams, a million queued lines, a day without growth.

    python -m benchmarks.daemon_scale [held] [queued] [day] [--hours 24] [--speed 240] [--streams 10000]

Measures the parts that are named, all without a name, and writes their sections of benchmarks/daemon_scale.md anew; the
others stay. Fails where a part misses its target.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import held_streams, long_day, queued_lines
from benchmarks.paragraphs import paragraph

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# What one daemon carries

    python -m benchmarks.daemon_scale

Each part runs a whole daemon, a worker and its clients as processes of their own on real sockets, the daemon as
`slacktide serve` sets it up. Written by the command; a part that is not named keeps its section. What had to be chosen
is in [decision 0031](../docs/decisions/0031-lines-yield-and-memory-stays.md).
"""
HELD_MB, KEEP_ALIVE_CORE_RATIO, SUBMIT_P99_S = 400.0, 0.10, 0.050
# Streams come and are greeted, twice, before the steady time.
_ARRIVAL_S_PER_STREAM, _ARRIVAL_S = 0.005, 40.0


def held(chosen: argparse.Namespace) -> tuple[str, bool]:
    hold_s = _ARRIVAL_S + 2 * _ARRIVAL_S_PER_STREAM * chosen.streams + chosen.steady
    found = held_streams.run(chosen.streams, hold_s, chosen.steady)
    is_met = (
        found.held_mb < HELD_MB
        and found.keep_alive_core_ratio < KEEP_ALIVE_CORE_RATIO
        and found.answered_exactly == found.streams
    )
    return (
        f"""{found.streams:,} streaming requests with prompts of 1,000 characters wait for a cleaner hour. As many came
before them and hung up. Then all are let go at once, through 256 places at the worker, and every byte is compared.

| | |
| :--- | ---: |
| resident before anybody came | {found.before_mb:.0f} MB |
| resident with the first {found.streams:,} held | {found.first_mb:.0f} MB |
| resident once they had hung up | {found.left_mb:.0f} MB |
| resident with the next {found.streams:,} held (target {HELD_MB:.0f} MB) | {found.held_mb:.0f} MB |
| a held stream | {found.kb_per_stream:.1f} kB |
| most resident, answers included | {found.peak_mb:.0f} MB |
| resident when all were answered | {found.after_mb:.0f} MB |
| keep-alives in {found.steady_s:.0f} s | {found.keep_alives:,} |
| a core's share for them (target {KEEP_ALIVE_CORE_RATIO:.0%}) | {found.keep_alive_core_ratio:.1%} |
| answered byte for byte | {found.answered_exactly:,} |

What a crowd took is not given back to the system: the interpreter keeps it for the next crowd, which needs hardly more.
""",
        is_met,
    )


def queued(chosen: argparse.Namespace) -> tuple[str, bool]:
    found = queued_lines.run(chosen.lines, chosen.submissions)
    rows = "\n".join(phase.row() for phase in found.phases)
    about = f"""
        Batches of 50,000 lines wait for the sun, then others run; jobs and batches of one line are submitted beside
        them, {chosen.submissions} of each in a row of the table, ten of each a second, timed from the instant each was
        due. The target is {SUBMIT_P99_S * 1000:.0f} ms at p99; the first row is what the machine makes of it with
        nothing in the queue. The worker answers at once, so that lines run as fast as the daemon lets them.
    """
    memory = f"""
        Checking {chosen.lines:,} lines took {found.checked_s:.0f} s, and each 100,000 of them
        {found.mb_per_100k_lines:.2f} MB of memory (least squares over {len(found.resident_by_lines_mb)} looks).
    """
    table = f"""| in the queue | job, median | p99 | batch, median | p99 | resident | a core's share | lines answered |
| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}"""
    return "\n\n".join((paragraph(about), table, paragraph(memory))), found.worst_p99_s < SUBMIT_P99_S


def day(chosen: argparse.Namespace) -> tuple[str, bool]:
    found = long_day.run(chosen.speed, chosen.hours, seed=0)
    slope, counts = found.slope, found.answered
    about = f"""
        {chosen.hours:.0f} hours of the daemon's clock in {chosen.hours * 60 / chosen.speed:.1f} minutes, before a
        simulated worker as fast: {counts["plain"]:,} plain and {counts["streamed"]:,} streamed requests,
        {counts["held"]:,} streams held for a cleaner hour, {counts["lines"]:,} lines of batches, {counts["jobs"]:,}
        jobs, somebody who looks at the lists and the savings {counts["looks"]:,} times, and an open status page.
        Before them come {long_day.REMEMBERED:,} requests: more than the daemon remembers one by one.
    """
    growth = f"""
        From hour {long_day.WARM_HOURS:.0f} on memory grows by {slope.mb_per_hour:+.3f} MB an hour, ±
        {slope.half_width_mb_per_hour:.3f} (95%, by as many looks as are independent); the daemon used
        {found.cpu_ratio:.0%} of a core. The target is no growth: an interval that does not lie above zero, and is no
        wider than ± {long_day.MOST_HALF_WIDTH_MB_PER_HOUR:.0f} MB.
    """
    is_met = slope.is_known and not slope.is_growth
    return "\n\n".join((paragraph(about), day_table(found, chosen.hours), paragraph(growth))), is_met


def day_table(found: long_day.DayFigures, hours: float) -> str:
    def resident_mb(hour: int) -> float:
        return min(found.samples, key=lambda one: abs(one[0] - hour))[1]

    shown = range(0, int(hours) + 1, 3)
    return f"""| hour | {" | ".join(str(hour) for hour in shown)} |
| :--- |{" ---: |" * len(shown)}
| resident, MB | {" | ".join(f"{resident_mb(hour):.0f}" for hour in shown)} |"""


PARTS: dict[str, tuple[str, Callable[[argparse.Namespace], tuple[str, bool]]]] = {
    "held": ("Streams held at once", held),
    "queued": ("Lines in the queue", queued),
    "day": ("A day", day),
}


def sections(page: str) -> dict[str, str]:
    """The text under each heading of a page."""
    parts = page.split("\n## ")[1:]
    return {title: text.strip() for title, _, text in (part.partition("\n") for part in parts)}


def page_of(found: dict[str, str]) -> str:
    titles = [title for title, _ in PARTS.values() if title in found]
    return "\n".join([HEAD, *(f"## {title}\n\n{found[title].strip()}\n" for title in titles)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which to measure; all without a name")
    parser.add_argument("--streams", type=int, default=10_000, help="streams held at once")
    parser.add_argument("--steady", type=float, default=45.0, help="seconds over which keep-alives are counted")
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines that wait")
    parser.add_argument("--submissions", type=int, default=300, help="jobs and batches in each state of the queue")
    parser.add_argument("--hours", type=float, default=24.0, help="length of the day")
    parser.add_argument("--speed", type=float, default=240.0, help="how much faster than the real clock it passes")
    chosen = parser.parse_args()
    found = sections(PAGE.read_text()) if PAGE.exists() else {}
    are_met = True
    for name in chosen.parts or PARTS:
        title, part = PARTS[name]
        text, is_met = part(chosen)
        # Over one, somebody else wanted the same processors.
        load_ratio = os.getloadavg()[1] / (os.cpu_count() or 1)
        machine = f"{os.cpu_count()} cores with a load of {load_ratio:.1f} each, Python {platform.python_version()}"
        found[title] = f"{text.strip()}\n\nMeasured on {machine}."
        found[title] += "" if is_met else " **Missed.**"
        print(f"## {title}\n\n{found[title]}\n", flush=True)
        PAGE.write_text(page_of(found))
        are_met = are_met and is_met
    return 0 if are_met else 1


if __name__ == "__main__":
    sys.exit(main())
