"""Fine-tuning by the official `openai` client, unchanged, against a whole daemon whose trainer is a real process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.fine_tuning import FineTuningJob

from scheduler.daemon.app import Daemon
from tests.daemons import PATIENCE_S, a_daemon

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
async def a_tuning_daemon(folder: Path, **options: Any) -> AsyncIterator[tuple[Daemon, AsyncOpenAI]]:
    async with a_daemon(folder, TABLES, **options) as (daemon, _):
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
