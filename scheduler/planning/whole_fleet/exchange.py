"""Take a handful of jobs that compete for the same hours out of a plan, and put them back in another order.

This finds what no move of one job can: that two must trade places, or that three must make room for one that is
refused. A try that does not make the plan better is undone. The random generator is an argument; equal generators give
equal plans.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.jobs import Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.cheapest_place import cheapest_place
from scheduler.planning.whole_fleet.local_search import Draft, by_size
from scheduler.planning.whole_fleet.rates import Rates

# How many jobs one try takes out.
_FEWEST, _MOST = 3, 14
# How often jobs go back by carbon plus prices instead of carbon alone, and the largest first instead of at random.
_PRICED_RATIO = 0.6
_BY_SIZE_RATIO = 0.4
# How often a try begins with a refused job, and how often chance alone chooses.
_REFUSED_RATIO, _ANYWHERE_RATIO = 0.5, 0.25
_HOUR_S = 3600.0


class Exchange:
    """Tries on one draft, which only gets better."""

    def __init__(self, draft: Draft, priced: Rates, generator: np.random.Generator) -> None:
        self._draft, self._priced, self._generator = draft, priced, generator
        self._jobs = list(draft.case.jobs)
        self._earliest_s = np.array([job.earliest_start_at_s for job in self._jobs])
        self._deadline_s = np.array([job.deadline_at_s for job in self._jobs])
        self._begin_s, self._end_s = np.zeros(len(self._jobs)), np.zeros(len(self._jobs))
        self._region = np.zeros(len(self._jobs), dtype=np.intp)
        self._regret_gco2e = np.zeros(len(self._jobs))
        self._wishes = [cheapest_place(job, priced) for job in self._jobs]
        self._index = {region.name: index for index, region in enumerate(draft.case.regions)}
        self._number = {job.id: number for number, job in enumerate(self._jobs)}
        for job in self._jobs:
            self._note(job)

    def run(self, tries: int, enough_gco2e: float) -> None:
        """So many tries, or fewer when every job is planned within `enough_gco2e`."""
        for _ in range(tries):
            if self._draft.rank <= (0, enough_gco2e):
                return
            self._try(self._chosen())

    def _chosen(self) -> list[Job]:
        """A job that pays much more than it would alone, and jobs that run about where it would rather be."""
        draw = self._generator
        number = self._first()
        first, wish = self._jobs[number], self._wishes[number]
        touching = (self._begin_s < first.deadline_at_s) & (self._end_s > first.earliest_start_at_s)
        touching[number] = False
        others = touching.nonzero()[0]
        count = min(len(others), int(draw.integers(_FEWEST, _MOST + 1)))
        if wish is None or draw.random() < _ANYWHERE_RATIO:
            picked = draw.permutation(others)[:count]
        else:
            away_s = np.maximum(self._begin_s[others] - wish[-1].end_at_s, wish[0].start_at_s - self._end_s[others])
            away_s = np.maximum(away_s, 0.0) + np.where(
                self._region[others] == self._index[wish[0].region], 0.0, _HOUR_S
            )
            picked = others[np.argsort(away_s + draw.uniform(0.0, _HOUR_S, len(others)))[:count]]
        return [first, *(self._jobs[one] for one in picked)]

    def _first(self) -> int:
        """A refused job half of the time while there are any; else by what it pays beyond its wish."""
        draw = self._generator
        refused = self._draft.refused
        if refused and draw.random() < _REFUSED_RATIO:
            return self._number[refused[draw.integers(len(refused))].id]
        paid_gco2e = self._regret_gco2e.cumsum()
        if paid_gco2e[-1] <= 0 or draw.random() < _ANYWHERE_RATIO:
            return int(draw.integers(len(self._jobs)))
        return int(paid_gco2e.searchsorted(draw.random() * paid_gco2e[-1], side="right"))

    def _try(self, jobs: Sequence[Job]) -> None:
        draft = self._draft
        before = draft.rank
        taken = [(job, draft.take_out(job)) for job in jobs if job.id in draft.places]
        self._put_back(jobs)
        if _is_better(draft.rank, before):
            for job in jobs:
                self._note(job)
        else:
            self._undo(jobs, taken)

    def _put_back(self, jobs: Sequence[Job]) -> None:
        draft, draw = self._draft, self._generator
        order = [jobs[number] for number in draw.permutation(len(jobs))]
        if draw.random() < _BY_SIZE_RATIO:
            order.sort(key=by_size)
        if draw.random() < _PRICED_RATIO:
            draft.fill(order, self._priced)
            draft.reinsert(order, draft.carbon)
        else:
            draft.fill(order, draft.carbon)

    def _undo(self, jobs: Sequence[Job], taken: Sequence[tuple[Job, tuple[Segment, ...]]]) -> None:
        for job in jobs:
            if job.id in self._draft.places:
                self._draft.take_out(job)
        for job, segments in taken:
            self._draft.put(job, segments)

    def _note(self, job: Job) -> None:
        """Where the job runs now and what it pays beyond its wish; one that is refused runs nowhere."""
        segments, number = self._draft.places.get(job.id, ()), self._number[job.id]
        self._begin_s[number] = segments[0].start_at_s if segments else np.inf
        self._end_s[number] = segments[-1].end_at_s if segments else -np.inf
        self._region[number] = self._index[segments[0].region] if segments else -1
        wish, priced = self._wishes[number], self._priced
        regret = priced.cost_of(job, segments) - priced.cost_of(job, wish) if segments and wish else 0.0
        self._regret_gco2e[number] = max(regret, 0.0)


def _is_better(rank: tuple[int, float], than: tuple[int, float]) -> bool:
    return rank[0] < than[0] or (rank[0] == than[0] and rank[1] < than[1] - 1e-9 * abs(than[1]))
