from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from scheduler.daemon.dashboard.kept import Kept


@dataclass
class Question:
    """Takes `takes_s` on its own clock and counts how often it was asked; `wrong` ones raise."""

    takes_s: float = 0.0
    now_s: float = 1000.0
    asked: int = 0
    wrong: set[int] = field(default_factory=set)

    async def __call__(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        self.now_s += self.takes_s
        if self.asked in self.wrong:
            raise OSError("no answer")
        return self.asked

    def kept(self, *, fresh_s: float) -> Kept[int]:
        return Kept(self, fresh_s=fresh_s, monotonic_s=lambda: self.now_s)


async def test_an_answer_is_kept_until_it_is_older_than_it_may_be() -> None:
    question = Question()
    kept = question.kept(fresh_s=5)
    first = await kept.answer()
    question.now_s += 4.9
    still = await kept.answer()
    question.now_s += 0.1
    assert (first, still, await kept.answer()) == (1, 1, 2)


async def test_many_who_ask_at_once_are_served_by_one_asking() -> None:
    question = Question()
    kept = question.kept(fresh_s=5)
    assert await asyncio.gather(*(kept.answer() for _ in range(20))) == [1] * 20
    assert question.asked == 1


async def test_a_question_that_takes_two_seconds_is_asked_every_twenty_at_most() -> None:
    question = Question(takes_s=2)
    kept = question.kept(fresh_s=5)
    await kept.answer()
    question.now_s += 19.9
    assert await kept.answer() == 1
    question.now_s += 0.2
    assert await kept.answer() == 2


async def test_a_question_that_failed_is_asked_again() -> None:
    question = Question(wrong={1})
    kept = question.kept(fresh_s=5)
    with pytest.raises(OSError, match="no answer"):
        await kept.answer()
    assert await kept.answer() == 2
