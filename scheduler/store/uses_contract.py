"""What a store has to promise of a ledger that is longer than memory: where its uses reach to, and pages of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from scheduler.ledger import EnergyUse

# Some megabytes, and some hundredths of a second.
PAGE_USES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class UsesReach:
    """From when to when, and in which zones, some uses lie, those that they are compared with included."""

    start_at_s: float
    end_at_s: float
    zones: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsesMark:
    """The last use of a page."""

    started_at_s: float
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsesPage:
    """Some uses by their start; `ends_at` is where the next page goes on, None on the last."""

    uses: Sequence[EnergyUse]
    ends_at: UsesMark | None


class UsePages(Protocol):
    """What may be asked of the ledger at any time, beside the writer."""

    def uses_reach(self, since_at_s: float, until_at_s: float, *, tenant: str | None = None) -> UsesReach | None:
        """Of the uses that started in [since, until); None where there are none."""

    def uses_page(
        self,
        since_at_s: float,
        until_at_s: float,
        *,
        after: UsesMark | None = None,
        limit: int = PAGE_USES,
        tenant: str | None = None,
    ) -> UsesPage:
        """The first so many of them, or the first after a mark."""


def every_use(
    reads: UsePages, since_at_s: float, until_at_s: float, *, tenant: str | None = None
) -> Iterator[EnergyUse]:
    """All of them by their start, a page at a time. Blocks."""
    after: UsesMark | None = None
    while True:
        page = reads.uses_page(since_at_s, until_at_s, after=after, tenant=tenant)
        yield from page.uses
        if (after := page.ends_at) is None:
            return
