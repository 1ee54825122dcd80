from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from intensity_feeds.feed import Answer, Rung
from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption
from scheduler.ledger import settle
from slacktide.lone_job import LoneJob
from tests.builders import HOUR_S, a_job, a_region, a_series

# Dirty for three hours, clean for two, dirty again.
CLEAN_FROM_3_TO_5 = a_series([500.0, 500.0, 500.0, 100.0, 100.0, *([500.0] * 20)])


@dataclass
class FakeProcess:
    """Runs for `lasts_s` of the world's time; asked to end, it does so after `ends_after_s` with `asked_code`."""

    world: World
    lasts_s: float
    exit_code: int = 0
    asked_code: int = 143
    ends_after_s: float = 0.0

    def wait(self, at_most_s: float) -> int | None:
        waits_s = min(at_most_s, self.lasts_s)
        self.world.clock_s += waits_s
        self.lasts_s -= waits_s
        return self.exit_code if self.lasts_s <= 0 else None

    def end(self, grace_s: float) -> tuple[int, bool]:
        self.world.clock_s += min(self.ends_after_s, grace_s)
        was_killed = self.ends_after_s > grace_s
        return (137 if was_killed else self.asked_code), was_killed


@dataclass
class World:
    """A clock that moves when somebody sleeps, a grid, and the starts of the command."""

    grid: Callable[[float], IntensitySeries | None] = lambda _: CLEAN_FROM_3_TO_5
    processes: list[dict[str, Any]] = field(default_factory=list)
    clock_s: float = 0.0
    asking_takes_s: float = 0.0
    starts: list[tuple[float, Mapping[str, str]]] = field(default_factory=list)
    asked_at_s: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def now_s(self) -> float:
        return self.clock_s

    def sleep(self, duration_s: float) -> None:
        self.clock_s += duration_s

    def start(self, told: Mapping[str, str]) -> FakeProcess:
        self.starts.append((self.clock_s, told))
        scripted = self.processes[len(self.starts) - 1] if self.processes else {"lasts_s": HOUR_S}
        return FakeProcess(world=self, **scripted)

    def intensity(self, now_s: float) -> Answer | None:
        self.asked_at_s.append(now_s)
        self.clock_s += self.asking_takes_s
        series = self.grid(now_s)
        return None if series is None else Answer(series=series, rung=Rung.LIVE, feed="fake", age_s=0.0)

    def say(self, message: str) -> None:
        self.said.append(message)


def a_lone_job(world: World, **fields: Any) -> LoneJob:
    return LoneJob(job=a_job(**fields), region=a_region(gpus=1), outside=world, poll_s=900.0)


def starts_at_s(world: World) -> list[float]:
    return [round(at_s) for at_s, _ in world.starts]


def test_the_command_starts_in_the_clean_hour_and_its_exit_code_is_ours() -> None:
    world = World(processes=[{"lasts_s": HOUR_S, "exit_code": 7}])

    assert a_lone_job(world, deadline_at_s=10 * HOUR_S).run() == 7
    assert starts_at_s(world) == [3 * HOUR_S]


def test_what_it_saved_is_settled_against_starting_at_once() -> None:
    world = World()
    lone = a_lone_job(world, deadline_at_s=10 * HOUR_S)

    lone.run()

    account = settle(lone.uses, {"DE": CLEAN_FROM_3_TO_5})
    assert (account.emissions_gco2e, account.at_once_emissions_gco2e) == (100.0, 500.0)


def test_a_grid_of_which_nothing_is_known_makes_it_run_at_once() -> None:
    world = World(grid=lambda _: None)

    assert a_lone_job(world).run() == 0
    assert starts_at_s(world) == [0]
    assert "nothing is known of the grid" in world.said[0]


def test_a_newer_forecast_moves_the_start() -> None:
    later = a_series([500.0] * 5 + [50.0] * 2 + [500.0] * 20)
    world = World(grid=lambda now_s: CLEAN_FROM_3_TO_5 if now_s < HOUR_S else later)

    a_lone_job(world, deadline_at_s=10 * HOUR_S).run()

    assert starts_at_s(world) == [5 * HOUR_S]
    assert "moved from" in world.said[1]


def test_no_forecast_keeps_it_beyond_its_latest_start() -> None:
    always_later = a_series([900.0 - hour for hour in range(48)])
    world = World(grid=lambda _: always_later)

    a_lone_job(world, deadline_at_s=6 * HOUR_S).run()

    assert starts_at_s(world) == [5 * HOUR_S]


def test_feeds_that_hang_are_not_asked_when_the_start_is_near() -> None:
    world = World(asking_takes_s=100.0)

    a_lone_job(world, deadline_at_s=10 * HOUR_S).run()

    assert starts_at_s(world) == [3 * HOUR_S]
    assert max(world.asked_at_s) <= 3 * HOUR_S - 120.0


def test_a_job_without_slack_starts_though_its_feed_hangs() -> None:
    world = World(asking_takes_s=60.0)

    assert a_lone_job(world, deadline_at_s=HOUR_S).run() == 0
    assert starts_at_s(world) == [60]


def test_an_interruptible_command_is_paused_and_goes_on_with_what_it_has_behind_it() -> None:
    two_valleys = a_series([100.0, 500.0, 500.0, 100.0, *([500.0] * 20)])
    # The first piece would go on for ever; asked, it ends by the signal.
    world = World(grid=lambda _: two_valleys, processes=[{"lasts_s": 9 * HOUR_S}, {"lasts_s": HOUR_S}])
    lone = a_lone_job(world, duration_s=2 * HOUR_S, deadline_at_s=8 * HOUR_S, interruption=Interruption())

    assert lone.run() == 0
    assert starts_at_s(world) == [0, 3 * HOUR_S]
    told = world.starts[1][1]
    assert (told["SLACKTIDE_ATTEMPT"], told["SLACKTIDE_RESUME"], told["SLACKTIDE_DONE_S"]) == ("2", "1", "3600")
    assert [round(use.ended_at_s - use.started_at_s) for use in lone.uses] == [HOUR_S, HOUR_S]


def test_a_command_that_had_to_be_killed_at_a_pause_runs_again_from_its_last_checkpoint() -> None:
    two_valleys = a_series([100.0, 500.0, 500.0, 100.0, *([500.0] * 20)])
    stubborn = {"lasts_s": 9 * HOUR_S, "ends_after_s": 1000.0}
    world = World(grid=lambda _: two_valleys, processes=[stubborn, {"lasts_s": 2 * HOUR_S}])
    lone = a_lone_job(world, duration_s=2 * HOUR_S, deadline_at_s=8 * HOUR_S, interruption=Interruption())

    assert lone.run() == 0
    assert world.starts[1][1]["SLACKTIDE_DONE_S"] == "0"


def test_a_command_that_fails_at_a_pause_has_failed() -> None:
    two_valleys = a_series([100.0, 500.0, 500.0, 100.0, *([500.0] * 20)])
    world = World(grid=lambda _: two_valleys, processes=[{"lasts_s": 9 * HOUR_S, "asked_code": 1}])
    lone = a_lone_job(world, duration_s=2 * HOUR_S, deadline_at_s=8 * HOUR_S, interruption=Interruption())

    assert lone.run() == 1
    assert len(world.starts) == 1
