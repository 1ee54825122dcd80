"""What each inference engine calls things: its health, its load, its sleep, and how to read what it answers.

Pure: paths and bodies go out, texts come in. Decides nothing about which worker is asked; knows no clock and no socket.
All of them stop generating once the connection of a call is closed, so that is how a call is cancelled everywhere.

Source: the engines' public documentation: vLLM 0.4 to 0.32 (production metrics, sleep mode), SGLang 0.5 (production
metrics, memory release), TGI 3 (metrics), Ollama 0.40 (`/api/ps`, `keep_alive`), llama.cpp server (`--metrics`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from scheduler.engine_settings import EngineKind
from scheduler.worker_settings import WorkerSettings
from shaping.consolidation import Action

# Ranks of one tensor- or pipeline-parallel group each tell of the same requests.
_OTHER_RANK = re.compile(r'(?:tp|pp)_rank="(?!0")')


# By name: requests, or a share of the KV cache.
Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What an engine says of itself, whoever sent it the requests; None where it does not say."""

    running: int
    waiting: int
    kv_cache_ratio: float | None = None

    @property
    def requests(self) -> int:
        return self.running + self.waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Names of an engine's gauges, newer before older: the first that a page has counts."""

    running: tuple[str, ...]
    waiting: tuple[str, ...]
    kv_cache_ratio: tuple[str, ...] = ()


# Since some set-ups write the colon as an underscore, both are read.
GAUGES: Mapping[EngineKind, Gauges] = {
    EngineKind.VLLM: Gauges(
        running=("vllm:num_requests_running",),
        waiting=("vllm:num_requests_waiting",),
        kv_cache_ratio=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    ),
    EngineKind.SGLANG: Gauges(
        running=("sglang:num_running_reqs",),
        waiting=("sglang:num_queue_reqs",),
        kv_cache_ratio=("sglang:token_usage",),
    ),
    EngineKind.TGI: Gauges(running=("tgi_batch_current_size",), waiting=("tgi_queue_size",)),
    EngineKind.LLAMACPP: Gauges(
        running=("llamacpp:requests_processing",),
        waiting=("llamacpp:requests_deferred",),
        kv_cache_ratio=("llamacpp:kv_cache_usage_ratio",),
    ),
}
LOAD_PATH = "/metrics"

_HEALTH_PATHS = {EngineKind.OLLAMA: "/api/version"}
_SLEEPING_PATHS = {EngineKind.OLLAMA: "/api/ps"}


def health_path(engine: EngineKind) -> str:
    """What is asked for life; an answer below 500 is one, so an engine without the path is alive."""
    return _HEALTH_PATHS.get(engine, "/health")


# -- load ---------------------------------------------------------------------------------------------------------


def reports_load(engine: EngineKind) -> bool:
    """Whether it counts its requests for us; our own in-flight count is all there is of the others."""
    return engine in GAUGES


def read_load(engine: EngineKind, page: str) -> LoadReport | None:
    """The load on a page of metrics in Prometheus' text format; None where it names no running requests.

    Summed over the engine's label sets, of which there is one for each data-parallel replica; the KV cache is the
    fullest of them.
    """
    names = GAUGES.get(engine)
    if names is None:
        return None
    found = _samples(page, {_spelled(name) for name in (*names.running, *names.waiting, *names.kv_cache_ratio)})
    running, waiting, kv_ratios = (_first(found, one) for one in (names.running, names.waiting, names.kv_cache_ratio))
    if not running:
        return None
    return LoadReport(
        running=round(sum(running)),
        waiting=round(sum(waiting)),
        kv_cache_ratio=min(1.0, max(kv_ratios)) if kv_ratios else None,
    )


def _samples(page: str, wanted: Collection[str]) -> Samples:
    found: Samples = {}
    for name, labels, value in _lines(page):
        if name in wanted and not _OTHER_RANK.search(labels):
            found.setdefault(name, []).append(value)
    return found


def _lines(page: str) -> Iterator[tuple[str, str, float]]:
    """Name, labels and value of every sample that has a usable one: finite and not negative."""
    for line in page.splitlines():
        if line.startswith("#"):
            continue
        head, has_labels, tail = line.rpartition("}")
        name, _, labels = head.partition("{") if has_labels else (line.partition(" ")[0], "", "")
        values = tail.split() if has_labels else line.split()[1:]
        try:
            value = float(values[0])
        except (ValueError, IndexError):
            continue
        if math.isfinite(value) and value >= 0:
            yield _spelled(name.strip()), labels, value


def _spelled(name: str) -> str:
    return name.replace(":", "_")


def _first(found: Samples, names: Collection[str]) -> list[float]:
    return next((found[_spelled(name)] for name in names if _spelled(name) in found), [])


# -- sleep --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One call that carries an order out."""

    path: str
    body: Mapping[str, object] | None = None


def sleep_calls(settings: WorkerSettings, action: Action) -> tuple[Post, ...]:
    """The calls that put it to sleep or wake it, in order; none where the engine offers no such thing."""
    is_sleep = action is Action.SLEEP
    match settings.engine:
        case EngineKind.OPENAI | EngineKind.VLLM:
            return (Post(path=f"/sleep?level={settings.sleep_level}" if is_sleep else "/wake_up"),)
        case EngineKind.SGLANG:
            return (Post(path="/release_memory_occupation" if is_sleep else "/resume_memory_occupation", body={}),)
        case EngineKind.OLLAMA:
            kept = 0 if is_sleep else -1
            return tuple(Post(path="/api/generate", body={"model": one, "keep_alive": kept}) for one in settings.models)
        case EngineKind.TGI | EngineKind.LLAMACPP:
            return ()


def sleeping_path(engine: EngineKind) -> str:
    """Where it says whether it sleeps."""
    return _SLEEPING_PATHS.get(engine, "/is_sleeping")


class _Sleeping(msgspec.Struct):
    is_sleeping: bool = False


class _LoadedModel(msgspec.Struct):
    name: str = ""


class _Loaded(msgspec.Struct):
    models: list[_LoadedModel]


def read_sleeping(settings: WorkerSettings, answer: bytes) -> bool:
    """Whether it says that it sleeps: for Ollama, that none of the worker's models is loaded."""
    try:
        if settings.engine is not EngineKind.OLLAMA:
            return msgspec.json.decode(answer, type=_Sleeping).is_sleeping
        loaded = {_tagged(one.name) for one in msgspec.json.decode(answer, type=_Loaded).models}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return loaded.isdisjoint(_tagged(model) for model in settings.models)


def _tagged(model: str) -> str:
    """Ollama's full name of a model: `gemma3` is `gemma3:latest`."""
    return model if ":" in model else f"{model}:latest"
