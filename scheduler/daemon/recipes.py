"""How each job is started: by a launch, by a template, or, a batch of requests, by our own client of the gateway."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from scheduler.config import Settings
from scheduler.daemon.api_errors import ApiError
from scheduler.daemon.openai_api import Call, Endpoint, read_call
from scheduler.daemon.runs import Recipe
from scheduler.daemon.worker_profiles import worker_deployment
from scheduler.jobs import InvalidJobError, Job, JobKind
from scheduler.launch_settings import LaunchSettings, TemplateSettings
from scheduler.periods import template_of
from scheduler.store.contract import Reads
from scheduler.submission import Need
from scheduler.templates import filled
from shaping import energy
from shaping.request_energy import request_energy_j

# Lines of a batch that are at the gateway at once; the shaper packs what the workers can hold.
BATCH_CONCURRENCY = 32
_BATCH_GRACE_S = 60.0


class Cookbook:
    """Recipes by job. `base_url` is where the daemon's own gateway listens, `key` opens it where keys are set."""

    def __init__(self, settings: Settings, reads: Reads, folder: Path) -> None:
        self.base_url = ""
        self.key = ""
        self._reads, self._folder = reads, folder
        self._launches: dict[str, LaunchSettings] = {}
        self.take_up(settings)

    def take_up(self, settings: Settings) -> None:
        """Other templates, from the next start of a run on. A period of a launch that left is still run as it was."""
        self._templates = {template.name: template for template in settings.template}
        self._launches |= {template_of(launch): launch for launch in settings.launch}

    def __call__(self, job: Job) -> Recipe:
        """Blocks shortly to write the input of a batch. Raises InvalidJobError."""
        if job.kind is JobKind.INFERENCE_BATCH:
            return self._batch(job)
        if (launch := self._launches.get(job.template)) is not None:
            return _recipe(launch, launch.command)
        if (template := self._templates.get(job.template)) is not None:
            return _recipe(template, tuple(filled(template.command, dict(job.arguments))))
        raise InvalidJobError("template", f"{job.template!r} is no longer in the settings")

    def output_of(self, job_id: str) -> Path:
        """Where the answers of a batch go, line by line."""
        return self._folder / job_id / "output.jsonl"

    def _batch(self, job: Job) -> Recipe:
        folder = self._folder / job.id
        folder.mkdir(parents=True, exist_ok=True)
        payload = self._reads.job(job.id).payload
        assert payload is not None, "only lists leave it out"
        lines = payload.get("requests", [])
        assert isinstance(lines, list)
        (folder / "input.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        command = (sys.executable, "-m", "scheduler.launchers.batch", str(folder), str(BATCH_CONCURRENCY))
        env = {"SLACKTIDE_URL": self.base_url, "SLACKTIDE_KEY": self.key}
        return Recipe(command=command, cwd=folder, env=env, grace_s=_BATCH_GRACE_S)


def _recipe(settings: LaunchSettings | TemplateSettings, command: tuple[str, ...]) -> Recipe:
    cwd = Path(settings.cwd).expanduser() if settings.cwd else None
    return Recipe(command=command, cwd=cwd, env=settings.env, grace_s=settings.grace_s)


class BatchEstimates:
    """What a batch is expected to need, by the energy model of the worker that will serve it."""

    def __init__(self, settings: Settings) -> None:
        self._workers = {model: worker for worker in reversed(settings.worker) for model in worker.models}

    def __call__(self, requests: Sequence[Mapping[str, Any]]) -> Need | None:
        """It has no GPUs of its own, for it runs on the workers. None for a model without a profile.

        Raises InvalidJobError.
        """
        calls = [self._call(number, line) for number, line in enumerate(requests)]
        _refuse_duplicates(requests)
        worker = self._workers[calls[0].model]
        try:
            deployment = worker_deployment(worker)
        except energy.ProfileError:
            return None
        batch = min(BATCH_CONCURRENCY, worker.max_sequences, len(calls))
        prompt_tokens = sum(call.prompt_tokens for call in calls) / len(calls)
        output_tokens = max(1.0, sum(call.output_tokens for call in calls) / len(calls))
        step = energy.step(deployment, batch, prompt_tokens + output_tokens / 2, batch * prompt_tokens / output_tokens)
        duration_s = step.duration_s * output_tokens * len(calls) / batch
        per_request_j = request_energy_j(
            deployment,
            prompt_tokens=round(prompt_tokens),
            output_tokens=round(output_tokens),
            batch_sequences=batch,
        )
        return Need(duration_s, per_request_j * len(calls) / duration_s, 0, deployment.error_class)

    def _call(self, number: int, line: Mapping[str, Any]) -> Call:
        where = f"requests[{number}]"
        custom_id, url, body = line.get("custom_id"), line.get("url"), line.get("body")
        if not isinstance(custom_id, str) or not custom_id:
            raise InvalidJobError(f"{where}.custom_id", "is required, a text that names the line")
        if url not in set(Endpoint):
            raise InvalidJobError(f"{where}.url", f"must be one of {', '.join(Endpoint)}")
        if not isinstance(body, dict):
            raise InvalidJobError(f"{where}.body", "must be the object that the endpoint takes")
        try:
            call = read_call(Endpoint(url), msgspec.json.encode(body))
        except ApiError as error:
            raise InvalidJobError(f"{where}.body.{error.param or ''}".rstrip("."), error.message) from None
        if call.is_streaming:
            raise InvalidJobError(f"{where}.body.stream", "nobody reads a stream in a batch: leave it out")
        if call.model not in self._workers:
            raise InvalidJobError(f"{where}.body.model", f"no worker serves {call.model!r}")
        return call


def _refuse_duplicates(requests: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for number, line in enumerate(requests):
        if line["custom_id"] in seen:
            raise InvalidJobError(f"requests[{number}].custom_id", f"{line['custom_id']!r} was used before")
        seen.add(line["custom_id"])
