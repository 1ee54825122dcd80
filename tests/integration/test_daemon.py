from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from scheduler.daemon.app import PLANNERS
from scheduler.daemon.state_folder import StateFolderInUseError
from scheduler.engine import Engine
from scheduler.journal import decode, replay
from scheduler.quantities import format_instant, parse_instant_s
from tests.builders import HOUR_S, YEAR_2022_AT_S
from tests.daemons import a_daemon, a_submission, got, posted, until, until_state

pytestmark = pytest.mark.slow


async def test_a_job_waits_for_the_clean_hours_runs_there_and_its_saving_is_in_the_account(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, epoch_s=YEAR_2022_AT_S + 6 * HOUR_S) as (_, client):
        status, job = await posted(client, "/api/v1/jobs", a_submission(within="10h"))
        assert status == 201
        assert parse_instant_s(job["plan"]["start"]) > parse_instant_s(job["submitted_at"]) + 3 * 3600

        done = await until_state(client, job["id"], "succeeded")

        assert parse_instant_s(done["started_at"]) >= parse_instant_s(job["plan"]["start"]) - 1
        _, account = await got(client, "/api/v1/savings")
        assert account["uses"] == 1
        assert account["savings_ratio"] > 0.1


async def test_an_infeasible_job_is_refused_with_changes_that_help(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (_, client):
        # It would end at three; ten minutes are left to send it again.
        status, answer = await posted(client, "/api/v1/jobs", a_submission(duration="3h", within="2h"))

        assert status == 422
        assert "; finish by 2022-01-01T03:1" in answer["error"]["message"]
        (later, *_) = answer["error"]["suggestions"]
        assert [one["field"] for one in later["changes"]] == ["deadline"]
        taken_up = a_submission(duration="3h", within="", deadline=later["changes"][0]["value"])
        assert (await posted(client, "/api/v1/jobs", taken_up))[0] == 201


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"template": "nobody"}, "template"),
        ({"duration": "soon"}, "duration"),
        ({"power": ""}, "power"),
        ({"gpus": "many"}, "gpus"),
        ({"gpus": -1}, "gpus"),
        ({"regions": ["moon"]}, "regions"),
        ({"arguments": {}}, "arguments.seconds"),
        ({"arguments": {"seconds": "--help"}}, "arguments.seconds"),
        ({"within": "1h", "deadline": "2022-01-02T00:00Z"}, "within"),
        ({"surprise": 1}, "surprise"),
        ({"kind": "inference_batch", "template": ""}, "requests"),
    ],
)
async def test_a_wrong_field_is_named(tmp_path: Path, wrong: dict[str, object], field: str) -> None:
    async with a_daemon(tmp_path) as (_, client):
        status, answer = await posted(client, "/api/v1/jobs", a_submission(**wrong))

        assert (status, answer["error"]["param"]) == (400, field)


async def test_a_repeated_submission_with_its_key_is_the_same_job_and_another_body_a_conflict(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (_, client):
        key = {"Idempotency-Key": "once"}
        first = await posted(client, "/api/v1/jobs", a_submission(), **key)
        again = await posted(client, "/api/v1/jobs", a_submission(), **key)
        other = await posted(client, "/api/v1/jobs", a_submission(gpus=2), **key)

        assert (first[0], again[0], other[0]) == (201, 200, 409)
        assert first[1]["id"] == again[1]["id"]
        _, listing = await got(client, "/api/v1/jobs")
        assert len(listing["data"]) == 1


async def test_a_repeated_submission_is_answered_even_when_it_would_be_too_late_by_now(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (daemon, client):
        key = {"Idempotency-Key": "once"}
        deadline = {"within": "", "deadline": "2022-01-01T03:00Z"}
        _, first = await posted(client, "/api/v1/jobs", a_submission(**deadline), **key)
        await until_state(client, first["id"], "succeeded")
        await until(lambda: daemon.runner.now_s() > parse_instant_s("2022-01-01T03:00Z"))

        again = await posted(client, "/api/v1/jobs", a_submission(**deadline), **key)

        assert (again[0], again[1]["id"]) == (200, first["id"])


async def test_a_dry_run_plans_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (_, client):
        status, draft = await posted(client, "/api/v1/jobs?dry_run=1", a_submission())

        assert status == 200
        assert draft["plan"]["savings_ratio"] > 0
        assert (await got(client, "/api/v1/jobs"))[1]["data"] == []


async def test_a_waiting_and_a_running_job_can_be_cancelled_and_an_ended_one_cannot(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (daemon, client):
        _, waiting = await posted(client, "/api/v1/jobs", a_submission())
        running_body = a_submission(arguments={"seconds": "60"}, within="90m")
        _, running = await posted(client, "/api/v1/jobs", running_body)
        await until_state(client, running["id"], "running")

        for job in (waiting, running):
            status, after = await posted(client, f"/api/v1/jobs/{job['id']}/cancel", {})
            assert (status, after["state"]) == (200, "cancelled")
        assert (await posted(client, f"/api/v1/jobs/{waiting['id']}/cancel", {}))[0] == 409
        assert (await posted(client, "/api/v1/jobs/nobody/cancel", {}))[0] == 404
        await until(lambda: daemon.runner.engine.free_gpus() == {"here": 2})


async def test_explain_says_why_and_on_which_forecast(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission())

        _, explained = await got(client, f"/api/v1/jobs/{job['id']}/explain")

        assert "cleanest window, saves" in explained["why"]
        assert explained["forecasts"]["SUN"]["rung"] == "live"
        reasons = explained["explanation"]
        assert reasons["start"] == job["plan"]["start"]
        assert reasons["emissions_gco2e"] == pytest.approx(job["plan"]["emissions_gco2e"])
        assert reasons["next_best"]["extra_gco2e"] > 0
        assert (reasons["forecasts"][0]["rung"], reasons["forecasts"][0]["feed"]) == ("live", "synthetic")
        assert [one["about"] for one in reasons["says"]][:2] == ["runs", "saves"]


async def test_a_failing_command_fails_the_job_with_its_exit_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables = {"template": [{"name": "sleep", "command": ["sh", "-c", "exit 3"]}]}
    async with a_daemon(tmp_path, tables) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission(arguments={}, within="90m"))

        failed = await until_state(client, job["id"], "failed")

        assert failed["reason"] == "exit code 3"
    told = [vars(one) for one in caplog.records if vars(one).get("action") == "run_end"]
    assert [(one["job"], one["exit_code"], one["levelname"]) for one in told] == [(job["id"], "3", "WARNING")]


async def test_jobs_that_do_not_fit_together_run_one_after_another(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (_, client):
        jobs = [(await posted(client, "/api/v1/jobs", a_submission(gpus=2, within="6h")))[1] for _ in range(3)]

        _, plan = await got(client, "/api/v1/plan")

        spans = sorted((one["start"], one["end"]) for one in plan["placements"])
        assert len(spans) == len(jobs)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


async def test_a_daemon_that_comes_back_finds_the_run_it_left_and_starts_nothing_twice(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    tables = {"template": [{"name": "mark", "command": ["sh", "-c", f"echo run >> {marks}; sleep 1"]}]}
    body = a_submission(template="mark", arguments={}, within="90m")
    async with a_daemon(tmp_path / "state", tables) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", body)
        await until_state(client, job["id"], "running")

    async with a_daemon(tmp_path / "state", tables) as (_, client):
        await until_state(client, job["id"], "succeeded")

    assert marks.read_text() == "run\n"


def clean_by_turns(folder: Path) -> Path:
    """Two days whose hours are clean three by three, from a day before the daemon's first instant."""
    path = folder / "grid.csv"
    rows = [
        f"{format_instant(YEAR_2022_AT_S + hour * HOUR_S)},SUN,{100 if hour // 3 % 2 == 0 else 500}"
        for hour in range(-24, 48)
    ]
    path.write_text("\n".join(["timestamp,zone,gco2e_per_kwh", *rows]) + "\n", "utf-8")
    return path


async def test_an_interruptible_job_is_paused_in_the_dirty_hours_and_resumed_where_it_was(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f'echo "$SLACKTIDE_RESUME $SLACKTIDE_ATTEMPT" >> {seen}; sleep 3600 & wait'
    template = {"name": "train", "command": ["sh", "-c", f"trap 'exit 0' TERM; {script}"]}
    feed = {"kind": "trace", "zones": ["SUN"], "file": str(clean_by_turns(tmp_path)), "poll_s": 600}
    body = a_submission(
        template="train",
        arguments={},
        duration="4h",
        within="9h",
        interruptible={"checkpoint": "1m", "restore": "1m"},
    )
    async with a_daemon(tmp_path / "state", {"template": [template], "feed": [feed]}) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", body)
        assert len(job["plan"]["segments"]) == 2

        paused = await until_state(client, job["id"], "paused")
        assert paused["attempt"] == 1
        resumed = await until_state(client, job["id"], "running")
        assert resumed["attempt"] == 2
        await posted(client, f"/api/v1/jobs/{job['id']}/cancel", {})

    assert seen.read_text().splitlines()[0].endswith("1")


async def test_the_journal_of_a_daemon_replayed_gives_the_same_commands(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (_, client):
        jobs = [
            (await posted(client, "/api/v1/jobs", a_submission(gpus=1 + number % 2, within=f"{2 + 3 * number}h")))[1]
            for number in range(5)
        ]
        await posted(client, f"/api/v1/jobs/{jobs[4]['id']}/cancel", {})
        for job in jobs[:3]:
            await until_state(client, job["id"], "succeeded")

    (journal,) = (tmp_path / "journal").glob("*.jsonl")
    regions, planner, decisions = decode(journal.read_bytes().splitlines(keepends=True))
    pairs = list(replay(Engine(regions=regions, planner=PLANNERS[planner]()), decisions))
    assert sum(len(decision.commands) for decision, _ in pairs) >= 5 + 1 + 3  # placed, cancelled, started
    for decision, commands in pairs:
        assert decision.commands == commands


async def test_two_daemons_cannot_share_a_folder(tmp_path: Path) -> None:
    async with a_daemon(tmp_path):
        with pytest.raises(StateFolderInUseError):
            async with a_daemon(tmp_path):
                pass


async def test_an_attempt_that_was_started_in_another_life_of_the_database_is_lost_and_tried_anew(
    tmp_path: Path,
) -> None:
    async with a_daemon(tmp_path) as (daemon, client):
        later = format_instant(daemon.runner.now_s() + 2 * HOUR_S)
        _, job = await posted(client, "/api/v1/jobs", a_submission(earliest_start=later, within="6h"))
        (tmp_path / "runs" / "runs" / f"slacktide-{job['id']}-1").mkdir(parents=True)

        done = await until_state(client, job["id"], "succeeded")

        assert done["attempt"] == 2
        assert daemon.runner.engine.open_job_ids() == []


async def test_a_run_does_not_see_the_secrets_of_the_feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRID_TOKEN", "canary")
    seen = tmp_path / "seen"
    feed = {"kind": "electricity_maps", "zones": ["SUN"], "token_env": "GRID_TOKEN", "base_url": "http://127.0.0.1:9"}
    tables = {"feed": [feed], "template": [{"name": "sleep", "command": ["sh", "-c", f"env > {seen}"]}]}
    async with a_daemon(tmp_path / "state", tables) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission(arguments={}))
        await until_state(client, job["id"], "succeeded")

    assert "SLACKTIDE_JOB_ID" in seen.read_text()
    assert "canary" not in seen.read_text()


async def test_a_number_that_no_page_has_is_refused_and_every_listing_stays_readable(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (_, client):
        far = await posted(client, "/api/v1/jobs", a_submission(within="99999999999999h"))

        assert (far[0], far[1]["error"]["param"]) == (400, "within")
        assert (await got(client, f"/api/v1/jobs?limit={'9' * 5000}"))[0] == 400
        assert await got(client, "/api/v1/jobs") == (200, {"object": "list", "data": [], "next_before": None})


async def test_a_batch_for_a_worker_whose_model_has_no_profile_says_how_long_it_takes(tmp_path: Path) -> None:
    tables = {"worker": [{"url": "http://127.0.0.1:9", "models": ["my/own"], "region": "here"}]}
    line = {
        "custom_id": "a",
        "url": "/v1/chat/completions",
        "body": {"model": "my/own", "messages": [{"role": "user", "content": "x"}]},
    }
    batch = {"kind": "inference_batch", "requests": [line], "within": "16h"}
    async with a_daemon(tmp_path, tables) as (_, client):
        unsaid = await posted(client, "/api/v1/jobs", batch)
        said = await posted(client, "/api/v1/jobs", {**batch, "duration": "1h", "power": "700W"})

    assert (unsaid[0], unsaid[1]["error"]["param"]) == (400, "duration")
    assert said[0] == 201


async def test_jobs_beside_each_other_see_different_gpus(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    region = {"name": "here", "zone": "SUN", "gpus": 3, "pue": 1.0, "devices": ["0", "1", "GPU-abc"]}
    # Neither ends before both have begun: a GPU that is free again may be given anew.
    until_both = f"while [ $(wc -l < {seen}) -lt 2 ]; do sleep 0.02; done"
    command = ["sh", "-c", f"echo $CUDA_VISIBLE_DEVICES >> {seen}; {until_both}"]
    tables = {"region": [region], "template": [{"name": "sleep", "command": command}]}
    async with a_daemon(tmp_path / "state", tables) as (_, client):
        body = a_submission(arguments={}, duration="1h", within="90m")
        one = (await posted(client, "/api/v1/jobs", {**body, "gpus": 2}))[1]
        other = (await posted(client, "/api/v1/jobs", body))[1]
        for job in (one, other):
            await until_state(client, job["id"], "succeeded")

    given = [line.split(",") for line in seen.read_text().splitlines()]
    assert sorted(name for names in given for name in names) == ["0", "1", "GPU-abc"]
