"""The hold rules as arithmetic: how many of a lane may go now, why, and when to ask again.

The one home of each rule. holds.py and adaptive.py call these functions as they stand, and the simulator compiles the
very same ones into its fast loop; so they take and give plain numbers only, a reason is a place in `REASONS`, and NaN
stands for what nobody knows. They know no request, no lane's content and no clock.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from shaping.policy import ReleaseReason

REASONS = tuple(ReleaseReason)
PASS_THROUGH = REASONS.index(ReleaseReason.PASS_THROUGH)
DENSE = REASONS.index(ReleaseReason.DENSE)
HOLD_OVER = REASONS.index(ReleaseReason.HOLD_OVER)
PLANNED = REASONS.index(ReleaseReason.PLANNED)
LATEST_START = REASONS.index(ReleaseReason.LATEST_START)
FULL = REASONS.index(ReleaseReason.FULL)
PACED = REASONS.index(ReleaseReason.PACED)
JOINED = REASONS.index(ReleaseReason.JOINED)
NOT_WORTH_WAITING = REASONS.index(ReleaseReason.NOT_WORTH_WAITING)

UNLIMITED = 2**62  # a group of any size

# How many go, why, and when to ask again if none do.
Answer = tuple[int, int, float]

_J_PER_KWH = 3.6e6
# Expectations shift while nothing happens, so look again after a gap between arrivals, but neither more often than
# these parts of the time left and of a lone request's service, nor less often than this part of the time left.
_OFTEN_RATIO, _RARELY_RATIO = 1 / 32, 1 / 8
_SHORTEST_LOOK_S = 1e-3  # far above what a clock of epoch seconds tells apart: a shorter wait would be no wait


class Line(NamedTuple):
    """Requests of one lane that could go, as a rule sees them."""

    held: int
    ends_at_s: float  # when the first hold among them ends
    running: int  # of all lanes
    sequences: int  # places that the pool has
    workers: int
    longest_tokens: int  # the longest output that one of them is expected to have


class Learnt(NamedTuple):
    """What the adaptive rule believes of its pool now; NaN is what it does not know."""

    rate_per_s: float
    price_gco2e_per_s: float
    alone_s_per_token: float
    together_s_per_token: float  # with those held and those running in one batch
    busy_w: float
    idle_w: float
    intensity_gco2e_per_kwh: float
    remaining_tokens: float  # of the running request that is expected to end last; 0 when nothing runs


# -- how long a request may be held ------------------------------------------------------------------------------------


def dense_hold_end_s(is_interactive: bool, since_s: float, budget_ends_at_s: float) -> float:
    return budget_ends_at_s if is_interactive else since_s


def window_hold_end_s(since_s: float, max_delay_s: float, budget_ends_at_s: float) -> float:
    return min(since_s + max_delay_s, budget_ends_at_s)


# -- whether a lane goes -----------------------------------------------------------------------------------------------


def passed(line: Line, is_interactive: bool) -> Answer:
    """Whatever could go goes."""
    return line.held, PASS_THROUGH if is_interactive else PLANNED, math.inf


def dense(line: Line, is_interactive: bool, now_s: float, hold_s: float, min_group: int) -> Answer:
    """Interactive requests wait for `min_group` together with those that run, at most their hold; no others wait."""
    if not is_interactive:
        return line.held, PLANNED, math.inf
    if hold_s == 0.0:
        return line.held, PASS_THROUGH, math.inf
    if line.running + line.held >= min_group:
        return line.held, DENSE, math.inf
    if line.ends_at_s <= now_s:
        return line.held, HOLD_OVER, math.inf
    return 0, HOLD_OVER, line.ends_at_s


def windowed(line: Line, now_s: float, size: int) -> Answer:
    """A batch goes once `size` are there or the first has waited its delay."""
    if line.ends_at_s <= now_s:
        return min(line.held, size), HOLD_OVER, math.inf
    if line.held >= size:
        return size, FULL, math.inf
    return 0, HOLD_OVER, line.ends_at_s


def paced(next_at_s: float, now_s: float) -> Answer:
    """One request at a time."""
    if next_at_s <= now_s:
        return 1, PACED, math.inf
    return 0, HOLD_OVER, next_at_s


# -- the rule that learns; what it weighs is explained in adaptive.py --------------------------------------------------


def adaptive(line: Line, learnt: Learnt, now_s: float) -> Answer:
    """A lane goes once waiting for one more request is expected to save less than it costs."""
    if is_ignorant(learnt):
        return line.held, PASS_THROUGH, math.inf
    left_s = line.ends_at_s - slower_s(line, learnt) - now_s
    if left_s <= _SHORTEST_LOOK_S:
        return line.held, HOLD_OVER, math.inf
    fixed = fixed_gco2e(line, learnt)
    forgone = forgone_gco2e(line, learnt.rate_per_s, fixed, learnt.price_gco2e_per_s, left_s)
    if forgone <= 0.0:
        return line.held, NOT_WORTH_WAITING, math.inf
    if fixed * (1.0 - outlasting_ratio(line, learnt)) >= forgone:
        return line.held, JOINED, math.inf
    return 0, HOLD_OVER, now_s + min(left_s, look_again_s(line, learnt, left_s))


def is_ignorant(learnt: Learnt) -> bool:
    """Whether something is missing without which nothing can be weighed; a sum is NaN if any part is."""
    powers_w = learnt.busy_w + learnt.idle_w
    return math.isnan(learnt.rate_per_s + learnt.alone_s_per_token + powers_w + learnt.intensity_gco2e_per_kwh)


def service_s(s_per_token: float, output_tokens: float) -> float:
    return s_per_token * max(1.0, output_tokens)


def fixed_gco2e(line: Line, learnt: Learnt) -> float:
    """F: what a group costs however few take part."""
    above_idle_w = max(0.0, learnt.busy_w - learnt.idle_w)
    alone_s = service_s(learnt.alone_s_per_token, line.longest_tokens)
    workers = min(line.workers, line.held)
    return above_idle_w * alone_s * workers * learnt.intensity_gco2e_per_kwh / _J_PER_KWH


def slower_s(line: Line, learnt: Learnt) -> float:
    """How much longer than a lone request's the group's service is, its wait for places included."""
    alone_s = service_s(learnt.alone_s_per_token, line.longest_tokens)
    together_s = service_s(learnt.together_s_per_token, line.longest_tokens)
    beyond = max(0, line.held + line.running - line.sequences)
    return together_s - alone_s + beyond / max(1, line.sequences) * together_s


def outlasting_ratio(line: Line, learnt: Learnt) -> float:
    """The part of their service by which newcomers would outlast what runs: 1 when nothing runs."""
    return min(1.0, max(0.0, 1.0 - learnt.remaining_tokens / max(1, line.longest_tokens)))


def forgone_gco2e(line: Line, rate_per_s: float, fixed_gco2e: float, price_gco2e_per_s: float, left_s: float) -> float:
    """What letting the lane go now costs beside waiting for the group that pays best; zero or less when it is full."""
    worth = math.inf
    if price_gco2e_per_s > 0.0:
        worth = math.sqrt(2.0 * rate_per_s * fixed_gco2e / price_gco2e_per_s)
    target = min(worth, line.held + rate_per_s * left_s, float(line.sequences))
    if target <= line.held:
        return 0.0
    wait_gco2e = price_gco2e_per_s / (2.0 * rate_per_s)  # of one request, for half a gap
    mean_gco2e = fixed_gco2e / target + wait_gco2e * (target - 1.0)
    return (target - line.held) * (mean_gco2e - wait_gco2e * (line.held + target - 1.0))


def look_again_s(line: Line, learnt: Learnt, left_s: float) -> float:
    often_s = _OFTEN_RATIO * max(left_s, service_s(learnt.alone_s_per_token, line.longest_tokens))
    return max(_SHORTEST_LOOK_S, often_s, min(_RARELY_RATIO * left_s, 1.0 / learnt.rate_per_s))
