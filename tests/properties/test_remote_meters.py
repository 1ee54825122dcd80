"""Agents whose answers are lost, late or doubled, and that begin anew: no joule is made up, and none is given twice."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.agent_settings import AgentSettings
from scheduler.daemon.metering import Metering
from scheduler.daemon.remote_meters import AgentClient, RemoteMeter
from scheduler.daemon.workers import Worker
from scheduler.gpu_counters import GpuCounter
from scheduler.gpu_report import GpuReading, Report, Unmetered
from scheduler.worker_settings import WorkerSettings
from shaping.metered_shares import Share
from shaping.profiles import deployment

H100_8B = deployment(gpu="h100-sxm", model="llama-3.1-8b")
STALE_S = 5.0


@dataclass
class Clock:
    """As much of the daemon's outside as a meter needs."""

    at_s: float = 100.0
    speed: float = 1.0

    def monotonic_s(self) -> float:
        return self.at_s

    def now_s(self) -> float:
        return 1e9 + self.at_s


@dataclass
class Machine:
    """A GPU that draws, and an agent beside it, which has a life of its own."""

    counts: bool
    drawn_j: float = 0.0
    life: int = 0
    sequence: int = 0
    counter: GpuCounter = field(default_factory=lambda: GpuCounter("0"))

    def restart(self) -> None:
        self.life, self.sequence, self.counter = self.life + 1, 0, GpuCounter(str(self.life + 1))

    def read(self, at_s: float, power_w: float, *, is_mute: bool = False) -> Report:
        self.sequence += 1
        is_counted = self.counts and not is_mute
        self.counter.read(at_s, self.drawn_j if is_counted else None, None if self.counts else power_w)
        gpu = GpuReading(
            index=0,
            uuid="GPU-a",
            name="",
            counter_id=self.counter.counter_id,
            energy_j=self.counter.energy_j,
            energy_from=self.counter.energy_from,
            power_w=power_w,
            utilisation_ratio=None,
            is_divided=False,
        )
        fields: dict[str, Any] = {"driver": "", "nvml": "", "problem": "", "remedy": "", "agent": ""}
        life = f"life {self.life}"
        return Report(format=1, life_id=life, sequence=self.sequence, age_s=0.0, gpus=(gpu,), **fields)


@dataclass
class Stand:
    """A worker behind a gateway, whose GPU an agent meters."""

    has_profile: bool
    clock: Clock = field(default_factory=Clock)
    booked: dict[Share, float | None] = field(default_factory=dict)
    begun: list[Share] = field(default_factory=list)
    running: list[Share] = field(default_factory=list)
    heard: list[tuple[float, int, float]] = field(default_factory=list)  # instant, which sum, drawn until then
    silences: int = 0

    def __post_init__(self) -> None:
        settings = WorkerSettings(url="http://w:1", models=("m",), region="r", devices=("0",), agent="a")
        self.worker = Worker(settings)
        self.metering = Metering(H100_8B if self.has_profile else None)
        meter = RemoteMeter(self.clock, "agent a", [self.worker], self.metering)  # type: ignore[arg-type]
        agent = AgentSettings(name="a", url="http://a:1")
        self.client = AgentClient(self.clock, agent, "", STALE_S, [meter])  # type: ignore[arg-type]

    def begin(self) -> None:
        share = self.metering.began(self.clock.at_s, 300, 100)

        def book(metered_j: float | None) -> None:
            assert share not in self.booked
            self.booked[share] = metered_j

        self.metering.book(share, book)
        self.running.append(share)
        self.begun.append(share)

    def end(self, place: int) -> None:
        if self.running:
            self.metering.ended(self.running.pop(place % len(self.running)), self.clock.at_s)

    def hear(self, report: Report, read_at_s: float, machine: Machine, drawn_j: float) -> None:
        self.client.heard(report, read_at_s)
        self.heard.append((read_at_s, machine.life + 1000 * self.silences, drawn_j))

    def hear_nothing_of_it(self, report: Report, read_at_s: float) -> None:
        if not self.heard or read_at_s - self.heard[-1][0] >= STALE_S:
            self.silences += 1
        self.client.heard(report, read_at_s)

    def lose(self) -> None:
        self.silences += 1
        self.client.lost(Unmetered(what="silent", remedy="start it"))

    @property
    def given_j(self) -> float:
        return math.fsum(one or 0.0 for one in self.booked.values())

    def expected_j(self, share: Share) -> float | None:
        """By brute force, where time alone counts: None as soon as a moment of it lies between two sums."""
        if not self.heard or share.began_at_s < self.heard[0][0]:
            return None
        total_j = 0.0
        for (from_s, sum_before, before_j), (to_s, sum_after, after_j) in pairwise(self.heard):
            own_s = overlap_s(share, from_s, to_s)
            if own_s > 0.0 and sum_before != sum_after:
                return None
            if own_s > 0.0:
                total_j += (after_j - before_j) * own_s / sum(overlap_s(one, from_s, to_s) for one in self.begun)
        return total_j


def overlap_s(share: Share, from_s: float, to_s: float) -> float:
    return max(0.0, min(share.ended_at_s, to_s) - max(share.began_at_s, from_s))


HARMLESS = ("begin", "begin", "end", "hear", "late", "lost")
HARMFUL = ("hear", "twice", "restart", "mute", "silence")


def steps_of(*events: str) -> st.SearchStrategy[list[Any]]:
    one = st.tuples(st.sampled_from(events), st.floats(0.05, 3.0), st.floats(0.0, 700.0), st.integers(0, 9))
    return st.lists(one, min_size=1, max_size=40)


def step(stand: Stand, machine: Machine, event: str, power_w: float, place: int) -> None:
    at_s = stand.clock.at_s
    match event:
        case "begin":
            stand.begin()
        case "end":
            stand.end(place)
        case "restart":
            machine.restart()
        case "lost":
            machine.read(at_s, power_w)
        case "mute":
            stand.hear_nothing_of_it(machine.read(at_s, power_w, is_mute=True), at_s)
        case "silence":
            machine.read(at_s, power_w)
            stand.lose()
        case _:
            report, drawn_j = machine.read(at_s, power_w), machine.drawn_j
            if event == "late":
                for _ in range(2):  # others come and go while it is on its way
                    stand.clock.at_s += 0.2
                    machine.drawn_j += 0.2 * power_w
                    stand.end(place)
                    stand.begin()
            stand.hear(report, at_s, machine, drawn_j)
            if event == "twice":
                stand.client.heard(report, at_s + 0.01)


def lived(stand: Stand, machine: Machine, steps: list[Any]) -> None:
    for event, lasts_s, power_w, place in steps:
        stand.clock.at_s += lasts_s
        machine.drawn_j += lasts_s * power_w
        step(stand, machine, event, power_w, place)
        assert all(one is None or one >= 0.0 for one in stand.booked.values())
        assert stand.given_j + stand.metering.nobodys_j <= machine.drawn_j * (1 + 1e-9) + 1e-6


@given(steps=steps_of(*HARMLESS, *HARMFUL), has_profile=st.booleans())
def test_no_joule_is_made_up_and_nobody_waits_for_a_dead_meter(steps: list[Any], has_profile: bool) -> None:
    stand, machine = Stand(has_profile), Machine(counts=True)
    lived(stand, machine, steps)
    stand.lose()
    assert len(stand.booked) + len(stand.running) == len(stand.begun)


@given(steps=steps_of(*HARMLESS, *HARMFUL))
def test_each_request_is_given_its_part_of_whole_windows_or_nothing(steps: list[Any]) -> None:
    stand, machine = Stand(has_profile=False), Machine(counts=True)
    lived(stand, machine, [*steps, *([("end", 0.1, 50.0, 0)] * 80), ("hear", 0.1, 50.0, 0)])
    assert len(stand.booked) == len(stand.begun)
    for share, metered_j in stand.booked.items():
        expected_j = stand.expected_j(share)
        assert metered_j == (None if expected_j is None else pytest.approx(expected_j, rel=1e-6, abs=1e-6))


@given(steps=steps_of(*HARMLESS), has_profile=st.booleans())
def test_where_only_answers_are_lost_or_late_every_joule_is_somebodys(steps: list[Any], has_profile: bool) -> None:
    stand, machine = Stand(has_profile), Machine(counts=True)
    first = [("hear", 0.0, 0.0, 0)]
    lived(stand, machine, [*first, *steps, *([("end", 0.1, 50.0, 0)] * 80), ("hear", 1.0, 100.0, 0)])
    assert len(stand.booked) == len(stand.begun)
    assert None not in stand.booked.values()
    assert stand.given_j + stand.metering.nobodys_j == pytest.approx(machine.drawn_j, rel=1e-9, abs=1e-6)


def test_a_reading_that_its_driver_did_not_answer_costs_no_request_its_joules() -> None:
    stand, machine = Stand(has_profile=False), Machine(counts=True)
    events = ("hear", "begin", "mute", "mute", "end", "hear")
    lived(stand, machine, [(event, 1.0, 100.0, 0) for event in events])
    assert list(stand.booked.values()) == [pytest.approx(500.0)]  # alone there it is given the whole window


def test_a_driver_that_stays_silent_makes_its_requests_modelled() -> None:
    stand, machine = Stand(has_profile=False), Machine(counts=True)
    events = ("hear", "begin", *["mute"] * int(STALE_S), "end", "hear")
    lived(stand, machine, [(event, 1.0, 100.0, 0) for event in events])
    assert list(stand.booked.values()) == [None]
