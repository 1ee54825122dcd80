"""How many jobs of a crowd no plan can have in time, by prices of room and by going through windows.

Prices alone prove less than is true, since fractions of jobs fit where whole ones do not. So plans that refuse no more
than is proved are looked for and ruled out: what prices and surely held room leave of each job's window is cut in two,
again and again, and in each half the prices prove more. When nothing is left one more refused job is proved. Which job
is cut next: one whose window, once halved, pins it to the most room, and among these one that paid much where plans
have been ruled out. Effort is counted in starts looked at; where it ends nothing is proved beyond what was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.whole_fleet.alone.ascent import LAST_STEP_RATIO, Slopes
from scheduler.planning.whole_fleet.alone.crowd_room import Answer, CrowdRoom, Left
from scheduler.planning.whole_fleet.alone.left_windows import ROUNDING_JOBS, Split, by_held_room, by_prices, halves

_FIRST_ROUNDS, _FIRST_STEP_RATIO = 200, 1.5
# Prices of a whole window are nearly those of its half.
_ROUNDS, _STEP_RATIO = 25, 0.3
# What a round takes beside looking at starts, in starts.
_LOOKS_PER_ROUND = 4000
# So often in a row prices and held room rule out windows, each by what the other left.
_MOST_TURNS = 6
# Windows are gone through once more when so many of the starts that were left are ruled out.
_WORTH_RATIO = 0.05
# How fast jobs that paid where plans were ruled out are forgotten, and what one that never did still counts.
_KEPT_RATIO, _UNSEEN_RATIO = 0.95, 0.02
# A window within which jobs are not told apart.
_SHORTEST_S = 60.0
# A job that stays out in so many rounds, but not in all others, is decided on first.
_WAVERING_RATIO = 0.02
# Beside what a cut pins a job to, what it merely moves counts this much.
_MOVED_RATIO = 1e-3

# What is left, the prices it begins with, and how far they climb.
_Open = tuple[Left, Floats, int, float]


class CrowdProof:
    """Of one crowd. `looked` counts starts looked at, and ends at `most_looked`."""

    def __init__(self, room: CrowdRoom, most_looked: int) -> None:
        self.room, self._most_looked = room, most_looked
        self.looked = 0
        self._paid_ratio = np.zeros(len(room.jobs))

    def least_refused(self, most: int) -> int:
        """What is proved, from what prices prove at once on; beyond `most` nothing is looked for."""
        room = self.room
        nothing = np.zeros((len(room.weights), len(room.lengths_s)))
        root, answer, _ = self._climbed(room.everything(), nothing, _FIRST_ROUNDS, _FIRST_STEP_RATIO, most)
        least = max(math.ceil(answer.least_jobs - ROUNDING_JOBS), 0)
        while least < most and self._rules_out(least, root):
            least += 1
        return least

    def _rules_out(self, most_out: int, prices_per_s: Floats) -> bool:
        """Whether every plan refuses more."""
        left = self.room.everything()
        if most_out == 0:
            left = Left(starts=left.starts, open_s=left.open_s, planned=~left.planned, out=left.out)
        stack: list[_Open] = [(left, prices_per_s, _ROUNDS, _STEP_RATIO)]
        while stack:
            if self.looked >= self._most_looked:
                return False
            found = self._narrowed(stack.pop(), most_out)
            if found is None:
                continue
            left, prices_per_s, splits = found
            if not splits:
                return False
            halved = [half for split in splits if (half := split.of(self.room, left)) is not None]
            stack += [(half, prices_per_s, _ROUNDS, _STEP_RATIO) for half in reversed(halved)]
        return True

    def _narrowed(self, one: _Open, most_out: int) -> tuple[Left, Floats, Sequence[Split]] | None:
        """What is left in the end, the prices there, and how to go on; None when no plan is left."""
        room, (start, prices_per_s, rounds, step_ratio) = self.room, one
        out_ratio = np.zeros(len(room.jobs))
        left = by_held_room(room, start)
        for _ in range(_MOST_TURNS):
            if left is None:
                return None
            prices_per_s, answer, out_ratio = self._climbed(left, prices_per_s, rounds, step_ratio, most_out)
            before = left
            if (left := by_prices(room, before, answer, most_out)) is None:
                self._remember(answer)
                return None
            if (left := by_held_room(room, left)) is None:
                return None
            ruled_out = int(before.starts.sum() - left.starts.sum())
            if ruled_out < _WORTH_RATIO * before.starts.sum() and (left.planned == before.planned).all():
                break
        assert left is not None, "a loop that ends leaves something"
        return left, prices_per_s, self._splits(left, out_ratio)

    def _climbed(
        self, left: Left, prices_per_s: Floats, rounds: int, step_ratio: float, most_out: int
    ) -> tuple[Floats, Answer, Floats]:
        """The best prices, what they answer, and in which share of the rounds each job stayed out."""
        room, steps = self.room, Slopes((1,))
        answer = best = self._answer(left, prices_per_s)
        best_prices, out_ratio, done = prices_per_s, np.zeros(len(room.jobs)), 0
        while done < rounds and best.least_jobs <= most_out + ROUNDING_JOBS:
            done += 1
            step = step_ratio * room.price_per_s * LAST_STEP_RATIO ** (done / rounds)
            prices_per_s = np.maximum(prices_per_s + step * steps.aimed(answer.over_jobs / room.regions), 0.0)
            answer = self._answer(left, prices_per_s)
            out_ratio += answer.stays_out
            if answer.least_jobs > best.least_jobs:
                best, best_prices = answer, prices_per_s
        return best_prices, best, out_ratio / max(done, 1)

    def _answer(self, left: Left, prices_per_s: Floats) -> Answer:
        self.looked += self.room.looked + _LOOKS_PER_ROUND
        return self.room.answer(left, prices_per_s)

    def _remember(self, answer: Answer) -> None:
        """Who paid where there was no plan."""
        paid = np.where(answer.paid_jobs < 1.0, answer.paid_jobs, 0.0)
        self._paid_ratio = _KEPT_RATIO * self._paid_ratio + paid / max(float(paid.max()), ROUNDING_JOBS)

    def _splits(self, left: Left, out_ratio: Floats) -> Sequence[Split]:
        """Two that leave away nothing; none where there is nothing to cut."""
        wavers = np.where(left.undecided, np.minimum(out_ratio, 1.0 - out_ratio), 0.0)
        if wavers.max() > _WAVERING_RATIO:
            return list(_either(int(wavers.argmax())))
        counts = self._cut_counts(left)
        if counts.max() > 0:
            return list(halves(self.room, left, int(counts.argmax())))
        return list(_either(int(left.undecided.argmax()))) if left.undecided.any() else ()

    def _cut_counts(self, left: Left) -> Floats:
        """What it counts to halve the window of each job: the GPU time that it then surely holds and did not before."""
        room = self.room
        first_s, last_s = room.hull_s(left)
        with np.errstate(invalid="ignore"):
            spread_s = np.where(np.isfinite(first_s), last_s - first_s, 0.0)
        starts = np.bincount(room.job[left.starts], minlength=len(room.jobs))
        pinned_s = np.maximum(room.lasts_s - spread_s / 2, 0.0) - np.maximum(room.lasts_s - spread_s, 0.0)
        counts = room.widths * (pinned_s + _MOVED_RATIO * np.minimum(spread_s, room.lasts_s))
        paid_ratio = self._paid_ratio / max(float(self._paid_ratio.max()), ROUNDING_JOBS)
        may_be_cut = (starts > 2) & (spread_s > _SHORTEST_S) & ~left.out
        found: Floats = np.where(may_be_cut, counts * (_UNSEEN_RATIO + paid_ratio), 0.0)
        return found


def _either(job: int) -> Iterator[Split]:
    yield Split(job=job, planned=True)
    yield Split(job=job, planned=False)
