"""What launches and fine-tunings say of power that changes and GPUs that may: how it is checked, and becomes a job."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.config_text import SettingsError, read_settings
from scheduler.fine_tuning import FineTuningFields, checked
from scheduler.fine_tuning import job_of as tuning_job
from scheduler.jobs import Job, Phase
from scheduler.periods import due_periods, job_of

BASE = '[[region]]\nname = "here"\nzone = "SUN"\ngpus = 4\npower_cap_kw = 4\n'
LAUNCH = '[[launch]]\nname = "l"\ncron = "0 6 * * *"\ncommand = ["true"]\nwithin_s = "9h"\n'
TUNING = (
    '[[template]]\nname = "t"\ncommand = ["train", "{training_file}"]\n[[fine_tuning]]\nmodel = "m"\ntemplate = "t"\n'
)
PROFILE = 'duration_s = "130m"\npower_profile = "10m:200W,2h:2.8kW"\ngpus = 4\n'
ELASTIC = 'duration_s = "3h"\nelastic = "1:0.55,2:1,4:1.7"\ngpus = 2\n'


def problems(text: str) -> list[str]:
    try:
        read_settings(BASE + text, "slacktide.toml", {})
    except SettingsError as error:
        return [str(one) for one in error.problems]
    return []


def job_of_a_launch(text: str) -> Job:
    (launch,) = read_settings(BASE + LAUNCH + text, "slacktide.toml", {}).settings.launch
    (period,) = due_periods(launch, 0.0, 86_399.0)
    return job_of(launch, period, period.tick_at_s)


def job_of_a_tuning(text: str) -> Job:
    (settings,) = read_settings(BASE + TUNING + text, "slacktide.toml", {}).settings.fine_tuning
    asked = checked(FineTuningFields(model="m", training_file="file-1"), settings)
    return tuning_job(asked, settings, {}, "ftjob-1", 0.0)


@pytest.mark.parametrize("made", [job_of_a_launch, job_of_a_tuning])
def test_a_run_whose_power_changes_is_planned_by_its_phases(made: Any) -> None:
    job = made(PROFILE)
    assert job.power_profile == (Phase(duration_s=600.0, power_w=200.0), Phase(duration_s=7200.0, power_w=2800.0))
    assert job.power_w == pytest.approx(2600.0)  # (10 min at 200 W and 120 min at 2800 W) over 130 min
    assert (job.duration_s, job.gpus, job.elastic) == (7800.0, 4, ())


@pytest.mark.parametrize("made", [job_of_a_launch, job_of_a_tuning])
def test_a_run_on_more_or_fewer_gpus_keeps_its_speeds(made: Any) -> None:
    job = made(ELASTIC)
    assert job.elastic == ((1, 0.55), (2, 1.0), (4, 1.7))
    assert (job.duration_s, job.gpus, job.power_profile) == (10_800.0, 2, ())


@pytest.mark.parametrize("table", [LAUNCH, TUNING])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PROFILE.replace("130m", "3h"), "lasts 2 h 10 min, and duration_s says 3 h"),
        (PROFILE + "interruptible = true\n", "runs in one piece"),
        (PROFILE + 'elastic = "4:1"\n', "goes not with power_profile"),
        (PROFILE.replace("2.8kW", "9kW"), "draws 9000 W"),
        (ELASTIC.replace("gpus = 2", "gpus = 3"), "gpus = 3 has no speed in it"),
        (ELASTIC.replace("2:1,", "2:fast,"), "is no list of GPUs and speeds"),
        (PROFILE.replace("200W", "lots"), "power_profile"),
    ],
)
def test_what_does_not_go_together_is_told(table: str, text: str, told: str) -> None:
    assert any(told in one for one in problems(table + text)), problems(table + text)
    assert problems(table + PROFILE) == problems(table + ELASTIC) == []
