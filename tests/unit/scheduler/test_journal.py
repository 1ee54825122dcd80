from __future__ import annotations

import numpy as np
import pytest

from intensity_feeds.feed import Rung
from scheduler.engine import Engine
from scheduler.events import Event, ForecastUpdated, JobSubmitted, Outcome, RunFinished, RunStarted, Tick
from scheduler.jobs import Interruption
from scheduler.journal import Decision, JournalError, decode, encode_decision, encode_header, replay
from tests.builders import HOUR_S, ScriptedPlanner, a_job, a_region, a_series

REGIONS = [a_region()]

HISTORY: list[tuple[float, list[Event]]] = [
    (0.0, [ForecastUpdated(at_s=0.0, zone="DE", series=a_series([300.0, np.nan, 100.0]), rung=Rung.LIVE)]),
    (1.0, [JobSubmitted(at_s=1.0, job=a_job(id="a", interruption=Interruption(checkpoint_s=5.0)))]),
    (2.0, [RunStarted(at_s=2.0, job_id="a", attempt=1), ForecastUpdated(at_s=2.0, zone="DE", series=None)]),
    (HOUR_S, [RunFinished(at_s=HOUR_S, job_id="a", attempt=1, outcome=Outcome.SUCCEEDED), Tick(at_s=HOUR_S)]),
]


def a_journal() -> list[bytes]:
    engine = Engine(regions=REGIONS, planner=ScriptedPlanner())
    lines = [encode_header(REGIONS, "scripted")]
    for now_s, events in HISTORY:
        commands = engine.decide(events, now_s)
        lines.append(encode_decision(Decision(now_s=now_s, events=events, commands=commands)))
    return lines


def test_a_journal_replayed_into_a_fresh_engine_gives_the_same_commands() -> None:
    regions, planner, decisions = decode(a_journal())

    pairs = list(replay(Engine(regions=regions, planner=ScriptedPlanner()), decisions))

    assert planner == "scripted"
    assert len(pairs) == len(HISTORY)
    assert all(decision.commands == commands for decision, commands in pairs)


def test_a_forecast_survives_the_journal_with_its_gap_and_labels() -> None:
    decisions = list(decode(a_journal())[2])
    event = decisions[0].events[0]

    assert isinstance(event, ForecastUpdated) and event.series is not None
    assert event.rung is Rung.LIVE
    np.testing.assert_array_equal(event.series.gco2e_per_kwh, [300.0, np.nan, 100.0])


def test_a_last_line_cut_by_a_crash_is_left_out_quietly() -> None:
    lines = a_journal()
    lines[-1] = lines[-1][:20]

    assert len(list(decode(lines)[2])) == len(HISTORY) - 1


def test_a_broken_line_in_the_middle_is_named() -> None:
    lines = a_journal()
    lines[2] = b"{}\n"

    with pytest.raises(JournalError, match="line 3"):
        list(decode(lines)[2])


def test_a_journal_of_another_format_is_refused() -> None:
    with pytest.raises(JournalError, match="written by another version"):
        decode([b'{"format": 99}\n'])
