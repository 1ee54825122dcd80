"""What doctor makes of a daemon's answers."""

from __future__ import annotations

from slacktide.doctor import Verdict
from slacktide.doctor_daemon import grids, jobs, readiness, workers

METERED = {"worker": "http://gpu1:8000", "problem": None, "source": "NVML here", "fix": None}
SILENT = {
    "worker": "http://gpu2:8000",
    "problem": "agent gpu2 does not answer",
    "source": "agent gpu2",
    "fix": "start it",
}
WITHOUT_DEVICES = {"worker": "http://gpu3:8000", "problem": "no meter", "source": None, "fix": "name its GPUs"}


def test_every_complaint_of_the_daemon_has_a_fix() -> None:
    found = list(readiness("http://here", {"problems": ["no worker is up", "the moon is full"]}))
    assert [one.verdict for one in found] == [Verdict.WARNING] * 2
    assert "worker_down" in found[0].fix
    assert "log" in found[1].fix
    assert [one.what for one in readiness("http://here", {"problems": []})] == ["http://here is ready"]


def test_workers_that_take_nothing_and_meters_that_fail_are_told() -> None:
    found = list(workers({"workers": {"up": 2, "configured": 3, "metering": [METERED, SILENT, WITHOUT_DEVICES]}}))
    assert [one.what for one in found] == [
        "2 of 3 workers take requests",
        "the energy of http://gpu2:8000 is modelled: agent gpu2 does not answer",
    ]
    assert found[1].fix == "start it"
    assert [one.verdict for one in workers({"workers": {"up": 3, "configured": 3, "metering": None}})] == [Verdict.OK]


def test_a_zone_below_the_live_rung_is_a_warning() -> None:
    zones = [
        {"zone": "GB", "rung": "live", "feed": "uk_carbon", "age_s": 12.3},
        {"zone": "DE", "rung": "yearly_average", "feed": "averages", "age_s": 9e6},
        {"zone": "FR", "rung": None},
    ]
    assert [(one.verdict, one.what) for one in grids({"zones": zones})] == [
        (Verdict.OK, "the grid of GB is live, by uk_carbon, 12 s old"),
        (Verdict.WARNING, "the grid of DE stands on yearly average"),
        (Verdict.WARNING, "the grid of FR is not known: work runs early"),
    ]


def test_jobs_in_quarantine_wait_for_somebody() -> None:
    (found,) = jobs({"jobs": {"quarantined": 2}})
    assert "slacktide requeue" in found.fix
    assert not list(jobs({"jobs": {"quarantined": 0}}))
