"""Which prompts are read by another worker than the one that writes the answer, and the bodies of the two calls.

Pure. The prefill worker is asked for one token and to keep the KV cache, says where it lies (`kv_transfer_params`), and
the decode worker, told the same, fetches it instead of reading the prompt. The fields are vLLM's, for its NIXL
connector; what the prefill worker answers is passed on as it is. Source: vLLM's documentation of disaggregated prefill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from scheduler.daemon.openai_api import Endpoint
from scheduler.daemon.worker_profiles import worker_deployment
from scheduler.daemon.workers import Worker, choose
from scheduler.shaping_settings import HandOverSettings
from scheduler.worker_settings import WorkerRole
from shaping.energy import ProfileError
from shaping.phases import GpuDevice, Link, Prompt, place_before
from shaping.request import Request

PARAMS = "kv_transfer_params"
_READ_ONLY: dict[str, object] = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}
_HANDED_OVER = frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS})
# What asks for more than the answer's own tokens needs the prompt read where the answer is written.
_NEEDS_THE_PROMPT = ("prompt_logprobs", "echo")


class HandOver:
    """Knows the prefill workers of every model."""

    def __init__(self, settings: HandOverSettings, readers: Mapping[str, Sequence[Worker]]) -> None:
        self._readers, self._objective = readers, settings.objective
        self._link = Link(
            bytes_per_s=settings.link_bytes_per_s,
            j_per_byte=settings.link_j_per_byte,
            setup_s=settings.link_setup_s,
        )

    def has_readers(self, model: str) -> bool:
        """Whether any prompt of the model may be handed over: asked of every request."""
        return model in self._readers

    def reader(self, writer: Worker, endpoint: Endpoint, request: Request, now_s: float) -> Worker | None:
        """Who reads the prompt for the writer; None where it had better read it itself."""
        readers = self._readers.get(request.model, ())
        if not readers or writer.settings.role is not WorkerRole.DECODE or endpoint not in _HANDED_OVER:
            return None
        if request.adapter:  # its KV cache is the adapter's own, which a prefill worker does not serve
            return None
        free = choose(readers, now_s)
        there, here = None if free is None else _device(free), _device(writer)
        if there is None or here is None:
            return None
        prompt = Prompt(request.prompt_tokens, request.output_tokens)
        placed = place_before(prompt, (there,), here, self._link, self._objective)
        return free if placed is not None and placed.prefill == there.name else None


def _device(worker: Worker) -> GpuDevice | None:
    """The worker as it would serve one more; None where its profile is not known."""
    try:
        made = worker_deployment(worker.settings)
    except ProfileError:
        return None
    return GpuDevice(name=worker.name, deployment=made, batch_sequences=worker.in_flight + 1)


def body_to_read(body: bytes) -> bytes | None:
    """What the prefill worker is asked; None for a call that cannot be handed over."""
    fields: dict[str, Any] = msgspec.json.decode(body)
    prompt = fields.get("prompt")
    has_many_prompts = isinstance(prompt, list) and not all(isinstance(part, int) for part in prompt)
    if has_many_prompts or (fields.get("n") or 1) > 1 or (fields.get("best_of") or 1) > 1:
        return None
    if fields.get(PARAMS) is not None or any(_is_set(fields.get(name)) for name in _NEEDS_THE_PROMPT):
        return None
    fields.update({PARAMS: _READ_ONLY, "stream": False, "max_tokens": 1})
    fields.pop("stream_options", None)
    for name in ("max_completion_tokens", "min_tokens"):
        if name in fields:
            fields[name] = 1
    return msgspec.json.encode(fields)


def _is_set(value: object) -> bool:
    """Zero counts: `prompt_logprobs` of 0 asks for those of the prompt's own tokens."""
    return value is not None and value is not False


class _Read(msgspec.Struct):
    kv_transfer_params: dict[str, Any] | None = None


def body_to_write(body: bytes, read: bytes) -> bytes | None:
    """The caller's body with where its prompt's KV cache lies; None where the prefill worker did not say."""
    try:
        where = msgspec.json.decode(read, type=_Read).kv_transfer_params
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not where:
        return None
    # In front of the caller's own fields, which stay byte for byte what they were.
    return b'{"%b":%b,' % (PARAMS.encode(), msgspec.json.encode(where)) + body.lstrip()[1:]
