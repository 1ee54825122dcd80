"""The words of the shaper: which rule, how long to hold, why a group goes, what was counted, what is refused.

Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shaping.request import LatencyClass, Request


class Holding(StrEnum):
    """The rule by which requests that could go are held for company; holds.py and adaptive.py."""

    PASS_THROUGH = "pass_through"  # nothing is held
    GROUP = "group"  # interactive ones until min_group run together, deferred ones until their planned instant
    WINDOW = "window"  # everything until the first has waited max_delay_s or max_group are there
    PACED = "paced"  # one every pace_gap_s
    ADAPTIVE = "adaptive"  # as long as waiting for one more is expected to save more than it costs


class ReleaseReason(StrEnum):
    """Why a group goes now: the first word of the explanation that the client may read."""

    PASS_THROUGH = "pass_through"  # the policy holds nothing
    DENSE = "dense"  # with what runs already, min_group is reached
    HOLD_OVER = "hold_over"  # an interactive request has waited as long as it may
    PLANNED = "planned"  # deferred, its instant has come and sequences are free
    LATEST_START = "latest_start"  # deferred, and its deadline allows no more waiting
    FULL = "full"  # max_group are held
    PACED = "paced"  # its turn in the regular stream
    JOINED = "joined"  # what runs now will hardly run longer for it
    NOT_WORTH_WAITING = "not_worth_waiting"  # one more request would save less than the wait costs


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapingPolicy:
    """By which rule requests are held, how long, and for what.

    `interactive_hold_s` is the budget of an interactive request, whatever the rule; a deferred one's is its latest
    start. `streaming_hold_s` is the part of a streaming request's time-to-first-token budget that holding may use; None
    means as for the others. `reserved_sequences` are kept free for interactive requests; only the latest start may take
    them. `first_token_budget_s` is how long prompts that workers have not read yet may take them when a deferred one is
    added; None limits nothing. `max_group` cuts larger releases into groups of that size. `has_length_lanes` groups
    requests with others whose output is about as long. The other fields belong to the rule that names them in
    `Holding`.
    """

    interactive_hold_s: float
    min_group: int
    max_group: int | None = None
    streaming_hold_s: float | None = None
    reserved_sequences: int = 0
    holding: Holding = Holding.GROUP
    max_delay_s: float = 0.0
    pace_gap_s: float = 0.0
    latency_price_gco2e_per_h: float = 0.0
    has_length_lanes: bool = False
    first_token_budget_s: float | None = None

    def __post_init__(self) -> None:
        holds_s = (self.interactive_hold_s, self.streaming_hold_s or 0.0, self.max_delay_s, self.pace_gap_s)
        if not all(hold_s >= 0.0 for hold_s in holds_s):
            raise ValueError(f"a hold is zero or longer, not {min(holds_s)} s")
        if self.first_token_budget_s is not None and not self.first_token_budget_s > 0.0:
            raise ValueError("a budget for the first token is longer than zero; None limits nothing")
        if not self.latency_price_gco2e_per_h >= 0.0:
            raise ValueError("the price of waiting is zero or more")
        if self.min_group < 1 or (self.max_group is not None and self.max_group < 1) or self.reserved_sequences < 0:
            raise ValueError("min_group and max_group are at least 1, reserved_sequences at least 0")

    def hold_s(self, request: Request) -> float:
        """The longest hold of one interactive request."""
        if request.is_streaming and self.streaming_hold_s is not None:
            return self.streaming_hold_s
        return self.interactive_hold_s

    def budget_ends_at_s(self, request: Request) -> float:
        """The last instant to which any rule may hold the request."""
        is_interactive = request.latency_class is LatencyClass.INTERACTIVE
        return budget_end_s(is_interactive, request.arrived_at_s, self.hold_s(request), request.release_by_s)


def budget_end_s(is_interactive: bool, arrived_at_s: float, hold_s: float, release_by_s: float) -> float:
    """The last instant to which any rule may hold a request."""
    return min(arrived_at_s + hold_s, release_by_s) if is_interactive else release_by_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Requests that go to the workers together, in this order."""

    requests: tuple[Request, ...]
    released_at_s: float
    reason: ReleaseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ShaperStats:
    """Counts since the start.

    offered = released + held + given_up_held; released = running + finished + given_up_running.
    """

    offered: int
    released: int
    held: int
    running: int
    finished: int
    given_up_held: int
    given_up_running: int
    groups: int

    @property
    def given_up(self) -> int:
        return self.given_up_held + self.given_up_running


class OfferError(ValueError):
    """A request that the shaper refuses to hold. The caller's to mend."""


class DuplicateRequest(OfferError):  # noqa: N818
    """An id that is held or running already."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(f"request {request_id!r} is held or running already; an id is used once")


class WrongModel(OfferError):  # noqa: N818
    """A request for a model that this pool does not serve."""

    def __init__(self, request: Request, model: str) -> None:
        self.request_id, self.model = request.id, model
        super().__init__(f"request {request.id!r} asks for {request.model!r}; this pool serves {model!r}")


class TooLarge(OfferError):  # noqa: N818
    """A request that the whole pool could not hold even if it were empty."""

    def __init__(self, request: Request, kv_tokens: int) -> None:
        self.request_id, self.kv_tokens = request.id, kv_tokens
        super().__init__(
            f"request {request.id!r} needs {request.kv_tokens} tokens of KV cache, the pool has {kv_tokens}: "
            "shorten the prompt or ask for fewer tokens"
        )
