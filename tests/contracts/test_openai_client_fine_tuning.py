"""Fine-tuning by the official `openai` client, unchanged, against a whole daemon whose trainer is a real process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.fine_tuning import FineTuningJob

from scheduler.daemon.app import Daemon
from scheduler.store.contract import StoreBusyError
from tests.daemons import PATIENCE_S, a_daemon, a_submission, got, posted, until

pytestmark = pytest.mark.slow

# Writes what a trainer would: two checkpoints, an event, and what it was told.
TRAINER = """
import json, pathlib, sys
training, validation, output, model, suffix, seed, epochs, rate = sys.argv[1:]
out = pathlib.Path(output)
lines = pathlib.Path(training).read_text().splitlines()
(out / "told.json").write_text(json.dumps([len(lines), validation != "", model, suffix, seed, epochs, rate]))
for step in (10, 20):
    with (out / "checkpoints.jsonl").open("a") as file:
        file.write(json.dumps({"created_at": step, "step": step, "metrics": {"train_loss": 1 / step}}) + "\\n")
with (out / "events.jsonl").open("a") as file:
    file.write(json.dumps({"created_at": 2_000_000_000, "message": "loss falls", "data": {"loss": 0.5}}) + "\\n")
    file.write('{"half a li')
sys.exit(3 if suffix == "broken" else 0)
"""
NAMES = ("training_file", "validation_file", "output", "model", "suffix", "seed", "n_epochs")
COMMAND = (sys.executable, "-c", TRAINER, *(f"{{{name}}}" for name in NAMES), "{learning_rate_multiplier}")
TABLES: dict[str, Any] = {
    "template": [{"name": "tune", "command": list(COMMAND)}],
    "fine_tuning": [
        {
            "model": "llama-3.1-8b",
            "template": "tune",
            "duration_s": "1h",
            "within_s": "1d",
            "hyperparameters": {
                "n_epochs": {"default": 3, "low": 1, "high": 10, "is_whole": True},
                "learning_rate_multiplier": {"default": 1.5},
            },
        }
    ],
}
EXAMPLES = b'{"messages": []}\n{"messages": []}\n'


@asynccontextmanager
async def a_tuning_daemon(
    folder: Path, tables: dict[str, Any] = TABLES, **options: Any
) -> AsyncIterator[tuple[Daemon, AsyncOpenAI]]:
    async with a_daemon(folder, tables, **options) as (daemon, _):
        base_url = f"{daemon.listener.base_url}/v1"
        async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
            yield daemon, client


async def a_file(client: AsyncOpenAI, purpose: Any = "fine-tune") -> str:
    return (await client.files.create(file=("train.jsonl", EXAMPLES), purpose=purpose)).id


async def until_status(client: AsyncOpenAI, job_id: str, *statuses: str) -> FineTuningJob:
    job = await client.fine_tuning.jobs.retrieve(job_id)
    async with asyncio.timeout(PATIENCE_S):
        while job.status not in statuses:
            await asyncio.sleep(0.02)
            job = await client.fine_tuning.jobs.retrieve(job_id)
    return job


async def test_a_model_is_tuned_in_clean_hours_with_events_and_checkpoints(tmp_path: Path) -> None:
    async with a_tuning_daemon(tmp_path) as (_, client):
        training, validation = await a_file(client), await a_file(client)
        created = await client.fine_tuning.jobs.create(
            model="llama-3.1-8b",
            training_file=training,
            validation_file=validation,
            suffix="mine",
            seed=7,
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
            metadata={"team": "search"},
        )
        await client.files.delete(training)  # the job keeps it
        done = await until_status(client, created.id, "succeeded", "failed")
        events = [one async for one in client.fine_tuning.jobs.list_events(created.id)]
        checkpoints = [one async for one in client.fine_tuning.jobs.checkpoints.list(created.id)]

    assert (created.status, created.object, created.seed) == ("queued", "fine_tuning.job", 7)
    assert created.estimated_finish is not None
    assert created.hyperparameters.n_epochs == 2
    assert created.metadata == {"team": "search"}
    assert (done.status, done.fine_tuned_model) == ("succeeded", f"ft:llama-3.1-8b:mine:{created.id}")
    assert done.finished_at is not None
    assert done.finished_at >= created.created_at + 6 * 3600  # the sun of this grid is not up before
    told = (tmp_path / "fine_tunes" / created.id / "output" / "told.json").read_text()
    assert told == '[2, true, "llama-3.1-8b", "mine", "7", "2", "1.5"]'
    assert [one.step_number for one in checkpoints] == [20, 10]
    assert checkpoints[0].metrics.train_loss == pytest.approx(0.05)
    assert checkpoints[0].fine_tuned_model_checkpoint.endswith(":ckpt-step-20")
    assert [one.message for one in events if one.type == "metrics"] == ["loss falls"]
    assert any("Created fine-tuning job" in one.message for one in events)


async def test_a_trainer_that_fails_says_so(tmp_path: Path) -> None:
    async with a_tuning_daemon(tmp_path) as (_, client):
        created = await client.fine_tuning.jobs.create(
            model="llama-3.1-8b", training_file=await a_file(client), suffix="broken"
        )
        failed = await until_status(client, created.id, "succeeded", "failed")

    assert (failed.status, failed.fine_tuned_model) == ("failed", None)
    assert failed.error is not None
    assert failed.error.code == "failed"


async def test_fine_tunings_are_listed_a_page_at_a_time_and_nothing_else_is(tmp_path: Path) -> None:
    async with a_tuning_daemon(tmp_path, speed=1.0) as (_, client):
        file = await a_file(client)
        ids = [(await client.fine_tuning.jobs.create(model="llama-3.1-8b", training_file=file)).id for _ in range(3)]
        cancelled = await client.fine_tuning.jobs.cancel(ids[1])
        listed = [one async for one in client.fine_tuning.jobs.list(limit=2)]
        with pytest.raises(openai.ConflictError):
            await client.fine_tuning.jobs.cancel(ids[1])
        with pytest.raises(openai.NotFoundError):
            await client.fine_tuning.jobs.retrieve("ftjob-of-nobody")

    assert [one.id for one in listed] == ids[::-1]
    assert cancelled.status == "cancelled"


async def test_fine_tunings_are_found_by_their_metadata_over_pages(tmp_path: Path) -> None:
    async with a_tuning_daemon(tmp_path, speed=1.0) as (_, client):
        file, jobs = await a_file(client), client.fine_tuning.jobs
        notes: list[dict[str, str] | None] = [{"run": "7"}, {"run": "8"}, None, {"run": "7", "by": "me"}, {"run": "7"}]
        ids = [(await jobs.create(model="llama-3.1-8b", training_file=file, metadata=one)).id for one in notes]
        of_seven = [one.id async for one in jobs.list(limit=2, metadata={"run": "7"})]
        mine = [one.id async for one in jobs.list(metadata={"run": "7", "by": "me"})]
        bare = [one.id async for one in jobs.list(extra_query={"metadata": "null"})]
        with pytest.raises(openai.NotFoundError) as unknown:
            await jobs.list(after="ftjob-of-nobody")

    assert of_seven == [ids[4], ids[3], ids[0]]
    assert (mine, bare) == ([ids[3]], [ids[2]])
    assert unknown.value.param == "after"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "gpt-4o"}, "these can: llama-3.1-8b"),
        ({"training_file": "file-of-nobody"}, "no file"),
        ({"suffix": "../up"}, "suffix"),
        ({"hyperparameters": {"n_epochs": 99}}, "hyperparameters.n_epochs: is 1 to 10"),
        ({"hyperparameters": {"n_epochs": 1.5}}, "is a whole number"),
        ({"hyperparameters": {"batch_size": 4}}, "is not one of this model's"),
        ({"metadata": {"slacktide_deadline": "30m"}}, "finish by 2022-01-01T01:"),
        ({"metadata": {"slacktide_deadline": "soon"}}, "metadata.slacktide_deadline"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations: are not served here"),
        ({"metadata": {"note": "x" * 513}}, "metadata: keys have at most 64 characters, values 512"),
    ],
)
async def test_a_mistake_is_answered_with_the_field(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    async with a_tuning_daemon(tmp_path, speed=1.0) as (_, client):
        asked = {"model": "llama-3.1-8b", "training_file": await a_file(client), **wrong}
        with pytest.raises(openai.APIStatusError) as refused:
            await client.fine_tuning.jobs.create(**asked)

    assert message in str(refused.value)
    assert not list((tmp_path / "fine_tunes").glob("*"))


async def test_what_a_crash_left_of_a_call_that_was_never_answered_is_removed(tmp_path: Path) -> None:
    (tmp_path / "fine_tunes" / "ftjob-unknown" / "output").mkdir(parents=True)
    async with a_tuning_daemon(tmp_path, speed=1.0) as (_, client):
        kept = await client.fine_tuning.jobs.create(model="llama-3.1-8b", training_file=await a_file(client))
    async with a_tuning_daemon(tmp_path, speed=1.0):
        pass

    assert [one.name for one in (tmp_path / "fine_tunes").iterdir()] == [kept.id]


async def test_a_file_for_something_else_trains_nothing(tmp_path: Path) -> None:
    async with a_tuning_daemon(tmp_path, speed=1.0) as (_, client):
        with pytest.raises(openai.BadRequestError, match="purpose batch, not fine-tune"):
            await client.fine_tuning.jobs.create(model="llama-3.1-8b", training_file=await a_file(client, "batch"))


async def test_a_creation_repeated_under_its_key_is_the_same_job(tmp_path: Path) -> None:
    async with a_tuning_daemon(tmp_path, speed=1.0) as (_, client):
        asked: dict[str, Any] = {"model": "llama-3.1-8b", "training_file": await a_file(client)}
        key: dict[str, Any] = {"extra_headers": {"Idempotency-Key": "once"}}
        both = await asyncio.gather(*(client.fine_tuning.jobs.create(**asked, **key) for _ in range(2)))
        again = await client.fine_tuning.jobs.create(**asked, **key)
        with pytest.raises(openai.ConflictError, match="was used for another body"):
            await client.fine_tuning.jobs.create(**asked, suffix="other", **key)
        listed = [one.id async for one in client.fine_tuning.jobs.list()]

    assert listed == [again.id] == list({one.id for one in both})
    assert [one.name for one in (tmp_path / "fine_tunes").iterdir()] == listed


async def test_a_store_that_is_busy_at_the_start_keeps_nobody_from_serving(tmp_path: Path) -> None:
    class Busy:
        def job(self, job_id: str) -> None:
            raise StoreBusyError("the database is locked")

    (tmp_path / "fine_tunes" / "ftjob-unknown").mkdir(parents=True)
    async with a_tuning_daemon(tmp_path, speed=1.0) as (daemon, _):
        (tmp_path / "fine_tunes" / "ftjob-another").mkdir()
        await replace(daemon.fine_tuning, reads=Busy()).recover()  # type: ignore[arg-type]

    assert [one.name for one in (tmp_path / "fine_tunes").iterdir()] == ["ftjob-another"]


# -- paused by the client ---------------------------------------------------------------------------------------------

# Runs until it has been started a second time, which is what resuming comes to.
PATIENT = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
(pathlib.Path(sys.argv[1]) / f"attempt{os.environ['SLACKTIDE_ATTEMPT']}").touch()
time.sleep(0 if os.environ.get("SLACKTIDE_RESUME") == "1" else 60)
"""


def patient(*, interruptible: bool) -> dict[str, Any]:
    """One that runs as soon as it may."""
    tuning = {**TABLES["fine_tuning"][0], "interruptible": interruptible, "within_s": "70m"}
    return {
        "template": [{"name": "tune", "command": [sys.executable, "-c", PATIENT, "{output}"]}],
        "fine_tuning": [{**tuning, "hyperparameters": {}}],
        "planning": {"policy": "run_now"},
    }


async def begun(folder: Path, job_id: str) -> None:
    """The trainer's own word that it can be interrupted now."""
    async with asyncio.timeout(PATIENCE_S):
        while not (folder / "fine_tunes" / job_id / "output" / "attempt1").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_job_that_waits_is_paused_across_a_restart_and_resumed(tmp_path: Path) -> None:
    async with a_tuning_daemon(tmp_path, speed=1.0) as (_, client):
        created = await client.fine_tuning.jobs.create(model="llama-3.1-8b", training_file=await a_file(client))
        paused = await client.fine_tuning.jobs.pause(created.id)
        again = await client.fine_tuning.jobs.pause(created.id)
    assert [paused.to_dict()["status"], again.to_dict()["status"]] == ["paused", "paused"]
    assert paused.estimated_finish is None

    async with a_tuning_daemon(tmp_path, speed=1.0) as (daemon, client):
        assert (await client.fine_tuning.jobs.retrieve(created.id)).to_dict()["status"] == "paused"
        await until(lambda: daemon.runner.engine.is_on_hold(created.id))
        resumed = await client.fine_tuning.jobs.resume(created.id)
        assert resumed.status == "queued"
        await until(lambda: daemon.runner.engine.placement(created.id) is not None)


async def test_a_training_that_runs_writes_its_checkpoint_and_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    async with a_tuning_daemon(tmp_path, patient(interruptible=True), speed=1.0) as (daemon, client):
        created = await client.fine_tuning.jobs.create(model="llama-3.1-8b", training_file=await a_file(client))
        await until_status(client, created.id, "running")
        await begun(tmp_path, created.id)
        await client.fine_tuning.jobs.pause(created.id)
        await until_status(client, created.id, "paused")
        assert daemon.runner.engine.free_gpus() == {"here": 2}
        await client.fine_tuning.jobs.resume(created.id)
        done = await until_status(client, created.id, "succeeded", "failed")

    assert done.status == "succeeded"
    output = tmp_path / "fine_tunes" / created.id / "output"
    assert sorted(one.name for one in output.iterdir()) == ["attempt1", "attempt2"]


async def test_a_training_that_runs_in_one_piece_is_not_paused(tmp_path: Path) -> None:
    async with a_tuning_daemon(tmp_path, patient(interruptible=False), speed=1.0) as (_, client):
        created = await client.fine_tuning.jobs.create(model="llama-3.1-8b", training_file=await a_file(client))
        await until_status(client, created.id, "running")
        with pytest.raises(openai.ConflictError, match="it runs in one piece; cancel it, or let it end"):
            await client.fine_tuning.jobs.pause(created.id)
        cancelled = await client.fine_tuning.jobs.cancel(created.id)
        with pytest.raises(openai.ConflictError, match="it will not go on"):
            await client.fine_tuning.jobs.resume(created.id)
        with pytest.raises(openai.NotFoundError):
            await client.fine_tuning.jobs.pause("ftjob-of-nobody")
    assert cancelled.status == "cancelled"


async def test_a_job_on_hold_is_explained_and_shown(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission(within="16h"))
        status, held = await posted(client, f"/api/v1/jobs/{job['id']}/pause", {})
        assert (status, held["on_hold_since"] is not None, held["reason"]) == (200, True, "put on hold")
        status, explained = await got(client, f"/api/v1/jobs/{job['id']}/explain")
        assert (status, explained["why"], explained["plan"]) == (200, "put on hold", None)
        _, let_go = await posted(client, f"/api/v1/jobs/{job['id']}/resume", {})
        assert let_go["on_hold_since"] is None
