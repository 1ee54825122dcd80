from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.batch_flow import COMMITMENT_S, MARGIN_RATIO, RESERVE_S, Backlog, Pace, Verdict, decide

NOW_S = 1_000.0
HOUR_S = 3600.0


def a_backlog(batch_id: str = "a", **changes: float) -> Backlog:
    fields: dict[str, Any] = {"deadline_at_s": NOW_S + 10 * HOUR_S, "open_lines": 100, "in_flight": 0, **changes}
    return Backlog(batch_id=batch_id, **fields)


def now_is_cleanest(_duration_s: float, _release_by_s: float) -> float:
    return NOW_S


def at_the_latest(_duration_s: float, release_by_s: float) -> float:
    return release_by_s


def verdicts(
    *backlogs: Backlog,
    line_s: float = 36.0,
    places: int = 10,
    cleanest: Callable[[float, float], float] = at_the_latest,
) -> Sequence[Verdict]:
    return decide(backlogs, pace=Pace(line_s), places=places, now_s=NOW_S, cleanest_start=cleanest)


def test_a_batch_goes_at_full_density_when_now_is_the_cleanest_time() -> None:
    (verdict,) = verdicts(a_backlog(), cleanest=now_is_cleanest)
    assert (verdict.lines, verdict.goes_until_s, verdict.waits_until_s) == (10, NOW_S + COMMITMENT_S, None)


def test_lines_on_their_way_hold_their_places() -> None:
    (verdict,) = verdicts(a_backlog(in_flight=7), cleanest=now_is_cleanest)
    assert verdict.lines == 3


def test_no_more_lines_go_than_there_are() -> None:
    (verdict,) = verdicts(a_backlog(open_lines=5, in_flight=3), cleanest=now_is_cleanest)
    assert verdict.lines == 2


def test_a_batch_waits_for_a_cleaner_time_and_says_until_when() -> None:
    # 100 lines of 36 s at 10 places are 360 s of work; with the margin it begins 450 s and the reserve before its end.
    (verdict,) = verdicts(a_backlog())
    latest_at_s = NOW_S + 10 * HOUR_S - 360 * MARGIN_RATIO - RESERVE_S
    assert verdict == Verdict(
        batch_id="a", lines=0, need_s=360.0, latest_start_at_s=latest_at_s, waits_until_s=latest_at_s
    )


def test_the_rule_is_asked_about_all_the_work_that_is_left() -> None:
    asked = []

    def cleanest(duration_s: float, release_by_s: float) -> float:
        asked.append(duration_s)
        return release_by_s

    verdicts(a_backlog(open_lines=95), cleanest=cleanest)
    assert asked == [360.0]  # ten rounds: the last one is as long as any


@pytest.mark.parametrize(("left_s", "lines"), [(511.0, 0), (510.0, 10)])
def test_a_batch_goes_whatever_the_grid_does_once_its_time_only_just_suffices(left_s: float, lines: int) -> None:
    (verdict,) = verdicts(a_backlog(deadline_at_s=NOW_S + left_s))
    assert verdict.lines == lines


def test_the_batch_whose_window_ends_first_is_served_first() -> None:
    late, soon = a_backlog("late"), a_backlog("soon", deadline_at_s=NOW_S + HOUR_S, open_lines=4)
    assert [(one.batch_id, one.lines) for one in verdicts(late, soon, cleanest=now_is_cleanest)] == [
        ("soon", 4),
        ("late", 6),
    ]


def test_what_stands_in_the_way_of_an_urgent_batch_goes_with_it() -> None:
    # Each has an hour of work; together they take two, and the window of the second is over in two and a half.
    first = a_backlog("first", deadline_at_s=NOW_S + 2.4 * HOUR_S, open_lines=1000)
    second = a_backlog("second", deadline_at_s=NOW_S + 2.5 * HOUR_S, open_lines=1000)
    assert [one.lines for one in verdicts(first)] == [0]
    assert [one.lines for one in verdicts(first, second)] == [10, 0]


def test_what_was_told_to_go_is_not_asked_again_for_some_minutes() -> None:
    (goes,) = verdicts(a_backlog(goes_until_s=NOW_S + 1))
    assert (goes.lines, goes.goes_until_s) == (10, NOW_S + 1)
    (asked,) = verdicts(a_backlog(goes_until_s=NOW_S))
    assert asked.lines == 0


def test_an_answer_stands_while_it_lies_ahead_and_in_time() -> None:
    def is_not_asked(_duration_s: float, _release_by_s: float) -> float:
        raise AssertionError("the answer was known")

    (waits,) = verdicts(a_backlog(waits_until_s=NOW_S + 1), cleanest=is_not_asked)
    assert waits.waits_until_s == NOW_S + 1
    (asked,) = verdicts(a_backlog(waits_until_s=NOW_S), cleanest=now_is_cleanest)
    assert asked.lines == 10
    (late,) = verdicts(a_backlog(waits_until_s=NOW_S + 11 * HOUR_S), cleanest=now_is_cleanest)
    assert late.lines == 10


def test_a_pace_starts_with_a_guess_takes_the_first_answer_whole_and_forgets_slowly() -> None:
    pace = Pace(100.0)
    assert pace.need_s(25, 10) == 300.0
    pace.observe(10.0)
    assert pace.line_s == 10.0
    pace.observe(20.0)
    assert pace.line_s == pytest.approx(10.4)


def test_lines_that_may_not_be_sent_faster_need_that_time_whatever_places_there_are() -> None:
    assert Pace(2.0).need_s(1000, 100) == 20.0
    assert Pace(2.0, gap_s=0.1).need_s(1000, 100) == 100.0
    assert Pace(2.0, gap_s=0.001).need_s(1000, 100) == 20.0


@given(
    st.lists(st.tuples(st.floats(1.0, 1e5), st.integers(1, 5000), st.integers(0, 64)), min_size=1, max_size=6),
    st.integers(1, 64),
    st.floats(0.01, 1000.0),
    st.floats(0.0, 1e5),
)
def test_places_are_never_exceeded_and_urgent_work_never_waits(
    drawn: list[tuple[float, int, int]], places: int, line_s: float, cleanest_in_s: float
) -> None:
    backlogs = [
        a_backlog(str(number), deadline_at_s=NOW_S + left_s, open_lines=lines, in_flight=min(lines, in_flight))
        for number, (left_s, lines, in_flight) in enumerate(drawn)
    ]
    pace = Pace(line_s)
    found = decide(
        backlogs,
        pace=pace,
        places=places,
        now_s=NOW_S,
        cleanest_start=lambda _, by_s: min(NOW_S + cleanest_in_s, by_s),
    )
    on_their_way = sum(one.in_flight for one in backlogs)
    sent = sum(one.lines for one in found)
    assert sent <= max(0, places - on_their_way)
    by_id = {one.batch_id: one for one in found}
    for backlog in backlogs:
        is_urgent = backlog.deadline_at_s - NOW_S <= pace.need_s(backlog.open_lines, places) * MARGIN_RATIO
        assert not (is_urgent and by_id[backlog.batch_id].waits_until_s is not None)
