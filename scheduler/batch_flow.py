"""Which batches may send lines to their workers now, and how many. Pure; asked again after every change.

The lines of a batch are one amount of work that can be begun and left off anywhere. The rules:

1. Of one pool, the batch whose window ends first is served first, and all places may be its own.
2. A batch goes when the deferral rule says that now is the cleanest time for what is left of it and of those before it.
   Told to go, it goes on for some minutes: lines are not stopped and begun again for a few grams.
3. It goes whatever the grid does once the time that is left is only just enough at the measured pace, with a margin;
   and then those before it go as well, for their lines are in its way.

Refuses to know the grid: the deferral rule is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# The pace is a mean of the past: lines get longer, workers get busy. A quarter more than the expected time is kept.
MARGIN_RATIO = 1.25
# An answer is on the disk, and a worker that fails is asked again, within this.
RESERVE_S = 60.0
# A batch that was told to go is asked again after this.
COMMITMENT_S = 300.0
# The weight of one more answer in the mean: about the last fifty lines count.
_NEWEST_WEIGHT_RATIO = 0.04

# The cleanest start of so many seconds of work, not after an instant: (duration_s, release_by_s) -> instant.
CleanestStart = Callable[[float, float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is left of one batch; `in_flight` of its open lines are on their way already.

    The last two are of its last verdict. A new forecast makes an end to its waiting: give it without `waits_until_s`.
    """

    batch_id: str
    deadline_at_s: float
    open_lines: int
    in_flight: int = 0
    goes_until_s: float = float("-inf")
    waits_until_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How many more lines of a batch may go now, and until when it goes, or until when it waits.

    `need_s` is the time for what is left of it and of those before it, which go at `latest_start_at_s` at the latest.
    """

    batch_id: str
    lines: int
    need_s: float
    latest_start_at_s: float
    goes_until_s: float = float("-inf")
    waits_until_s: float | None = None


class Pace:
    """How long one line takes while others run beside it: a guess at first, then a mean that forgets.

    `gap_s` is the least time between the sending of two lines.
    """

    __slots__ = ("gap_s", "is_measured", "line_s")

    def __init__(self, guess_s: float, gap_s: float = 0.0) -> None:
        self.line_s, self.gap_s = guess_s, gap_s
        self.is_measured = False

    def observe(self, took_s: float) -> None:
        weight_ratio = _NEWEST_WEIGHT_RATIO if self.is_measured else 1.0
        self.line_s += weight_ratio * (took_s - self.line_s)
        self.is_measured = True

    def need_s(self, lines: int, places: int) -> float:
        """Time for so many lines when all places are theirs; the last round is as long as any."""
        return max(self.line_s * -(-lines // places), self.gap_s * lines)


def decide(
    backlogs: Sequence[Backlog], *, pace: Pace, places: int, now_s: float, cleanest_start: CleanestStart
) -> list[Verdict]:
    """The verdict on each batch of one pool, in the order in which they are served; `places` are at least 1."""
    ordered = sorted(backlogs, key=lambda one: (one.deadline_at_s, one.batch_id))
    needs_s = _needs_s(ordered, pace, places)
    latest_at_s = _latest_starts_at_s(ordered, needs_s)
    free = places - sum(one.in_flight for one in ordered)
    verdicts = []
    for backlog, need_s, latest in zip(ordered, needs_s, latest_at_s, strict=True):
        until_s = backlog.goes_until_s
        if until_s <= now_s:
            start_at_s = now_s if latest <= now_s else _start_at_s(backlog, need_s, latest, now_s, cleanest_start)
            if start_at_s > now_s:
                verdicts.append(
                    Verdict(
                        batch_id=backlog.batch_id,
                        lines=0,
                        need_s=need_s,
                        latest_start_at_s=latest,
                        waits_until_s=start_at_s,
                    )
                )
                continue
            until_s = now_s + COMMITMENT_S
        lines = max(0, min(free, backlog.open_lines - backlog.in_flight))
        free -= lines
        verdicts.append(
            Verdict(
                batch_id=backlog.batch_id, lines=lines, need_s=need_s, latest_start_at_s=latest, goes_until_s=until_s
            )
        )
    return verdicts


def _start_at_s(
    backlog: Backlog, need_s: float, latest_at_s: float, now_s: float, cleanest_start: CleanestStart
) -> float:
    """What was answered before stands while it lies ahead: a thousand batches are not priced anew for each new one."""
    waits_until_s = backlog.waits_until_s
    if waits_until_s is not None and now_s < waits_until_s <= latest_at_s:
        return waits_until_s
    return cleanest_start(need_s, latest_at_s)


def _needs_s(ordered: Sequence[Backlog], pace: Pace, places: int) -> list[float]:
    """How long each batch and all before it take together."""
    needs_s, lines = [], 0
    for backlog in ordered:
        lines += backlog.open_lines
        needs_s.append(pace.need_s(lines, places))
    return needs_s


def _latest_starts_at_s(ordered: Sequence[Backlog], needs_s: Sequence[float]) -> list[float]:
    """When each must go at the latest: in time for itself, and for those that wait behind it."""
    latest_at_s: list[float] = []
    behind_at_s = float("inf")
    for backlog, need_s in zip(reversed(ordered), reversed(needs_s), strict=True):
        behind_at_s = min(behind_at_s, backlog.deadline_at_s - need_s * MARGIN_RATIO - RESERVE_S)
        latest_at_s.append(behind_at_s)
    return latest_at_s[::-1]
