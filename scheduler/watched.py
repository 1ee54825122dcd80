"""Open jobs by what may happen to them next, so that an event costs no look at all of them.

The engine tells every change of an entry; what is asked here is answered as if all entries had been looked at. Decides
nothing, and changes no entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from scheduler.agenda import Agenda
from scheduler.jobs import Job
from scheduler.planning.open_jobs.standing import Holdings
from scheduler.planning.plan import Placement, Region, Segment, gpus_of
from scheduler.planning.planner import OpenJob

# Instants that differ by less are the same: forecasts and plans are floats of about 1e9 seconds.
SAME_INSTANT_S = 1e-3


class Entry(Protocol):
    """What the engine knows of one open job."""

    @property
    def job(self) -> Job: ...

    @property
    def running(self) -> Segment | None: ...

    @property
    def placement(self) -> Placement | None: ...

    @property
    def waits(self) -> bool: ...

    @property
    def is_planned(self) -> bool: ...

    @property
    def latest_start_at_s(self) -> float: ...

    def as_open(self, now_s: float) -> OpenJob: ...


EntryT = TypeVar("EntryT", bound=Entry)


class Watched(Generic[EntryT]):
    """`put` after every change of an entry, `drop` when it is gone."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self.holdings = Holdings(regions)
        self.held: dict[str, EntryT] = {}
        self.gpus_held: dict[str, int] = {}  # by region, of all runs
        self._runs: dict[str, tuple[str, int]] = {}  # of those: where, and on how many GPUs
        self.pausable: dict[str, EntryT] = {}
        self.profiled: dict[str, EntryT] = {}
        self.waiting: dict[str, EntryT] = {}
        self.in_pieces: dict[str, EntryT] = {}
        self._starts = Agenda()  # of those that wait: when they are planned in one piece to start, and must
        self._piece_starts = Agenda()  # and when those in several pieces are, whom `in_pieces` tells to wake for
        self._due = set[str]()  # whose time may have come
        self._ends, self._overrun = Agenda(), set[str]()  # when runs are expected to end; who runs on after that

    def put(self, entry: EntryT) -> None:
        """Anything about it changed."""
        name = entry.job.id
        self._leave(name)
        running = entry.running
        if entry.is_planned:
            self.holdings.hold(entry.job, running, entry.placement)
        else:
            self.holdings.drop(name)
        if running is not None:
            self.held[name] = entry
            self._hold(name, running.region, gpus_of(entry.job, running))
            self._ends.put(name, (running.end_at_s,))
            if entry.job.interruption is not None:
                self.pausable[name] = entry
            if entry.job.power_profile:
                self.profiled[name] = entry
        elif entry.waits:
            self.waiting[name] = entry
            self._wait(entry)

    def drop(self, name: str, now_s: float) -> None:
        """It is gone from `now_s` on."""
        self._leave(name)
        self.holdings.drop(name, now_s)

    def _leave(self, name: str) -> None:
        if self.waiting.pop(name, None) is not None:
            self.in_pieces.pop(name, None)
            self._starts.drop(name)
            self._piece_starts.drop(name)
            self._due.discard(name)
        elif self.held.pop(name, None) is not None:
            region, gpus = self._runs.pop(name)
            self.gpus_held[region] -= gpus
            self.pausable.pop(name, None)
            self.profiled.pop(name, None)
            self._ends.drop(name)
            self._overrun.discard(name)

    def look_again(self, entries: Iterable[EntryT]) -> None:
        """The clock was set back."""
        self.holdings.count_anew()
        for entry in list(entries):
            self.put(entry)

    def due(self, now_s: float) -> list[EntryT]:
        """Those that wait whose time may have come; nobody else's has."""
        self._due.update(self._starts.take_until(now_s + SAME_INSTANT_S))
        self._due.update(self._piece_starts.take_until(now_s + SAME_INSTANT_S))
        return [self.waiting[name] for name in self._due]

    def see_overruns(self, now_s: float) -> None:
        """Runs that outlast their estimate hold their GPUs a little longer, and longer again."""
        self._overrun.update(self._ends.take_until(now_s))
        for name in self._overrun:
            self.holdings.put(self.held[name].as_open(now_s))

    def next_start_after_s(self, now_s: float) -> float | None:
        """When the next of those that wait is planned in one piece to start, or must."""
        self._due.update(self._starts.take_until(now_s))
        return self._starts.first_s()

    def next_end_after_s(self, now_s: float) -> float | None:
        """When the next run is expected to end."""
        self._overrun.update(self._ends.take_until(now_s))
        return self._ends.first_s()

    def _hold(self, name: str, region: str, gpus: int) -> None:
        self._runs[name] = region, gpus
        self.gpus_held[region] = self.gpus_held.get(region, 0) + gpus

    def _wait(self, entry: EntryT) -> None:
        must_s, name = entry.latest_start_at_s, entry.job.id
        if entry.placement is None:
            self._starts.put(name, (must_s,))
        elif len(entry.placement.segments) == 1:
            self._starts.put(name, (must_s, entry.placement.start_at_s))
        else:
            self.in_pieces[name] = entry
            self._starts.put(name, (must_s,))
            self._piece_starts.put(name, (entry.placement.start_at_s,))
