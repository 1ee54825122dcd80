"""What a simulated worker exposes under /metrics, with vLLM's names. Decides names; the engine decides values."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from simulations.worker_engine import Progress, Sequence, WorkerEngine

_STEP_TOKEN_BUCKETS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_LATENCY_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_LABELS = ("model_name", "engine")


class WorkerMetrics:
    """The families of one worker in a registry of their own."""

    def __init__(self, model: str) -> None:
        self.registry = CollectorRegistry()
        labels = (model, "0")
        self._running = self._gauge("num_requests_running", "Requests in the running batch.").labels(*labels)
        self._waiting = self._gauge("num_requests_waiting", "Requests waiting for room.").labels(*labels)
        self._kv_usage = self._gauge("kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1.").labels(*labels)
        self._prompt = self._counter("prompt_tokens", "Prompt tokens processed.").labels(*labels)
        self._generated = self._counter("generation_tokens", "Tokens generated.").labels(*labels)
        self._success = self._counter("request_success", "Requests finished.").labels(*labels)
        self._step_tokens = self._histogram(
            "iteration_tokens_total", "New tokens in each step.", _STEP_TOKEN_BUCKETS
        ).labels(*labels)
        self._first_token_s = self._histogram(
            "time_to_first_token_seconds", "Arrival to first token, virtual time.", _LATENCY_BUCKETS_S
        ).labels(*labels)
        self._latency_s = self._histogram(
            "e2e_request_latency_seconds", "Arrival to last token, virtual time.", _LATENCY_BUCKETS_S
        ).labels(*labels)
        self._energy = Counter(
            "slacktide_worker_energy_joules", "Modelled energy of all GPUs, idle time included.", registry=self.registry
        )
        self._seen_prompt = self._seen_generated = 0
        self._seen_energy_j = 0.0

    def observe(self, progress: Progress) -> None:
        """Take in what one advance of the engine made."""
        for tokens in progress.step_tokens:
            self._step_tokens.observe(tokens)
        for sequence in progress.finished:
            self._observe_finished(sequence)

    def exposition(self, engine: WorkerEngine) -> bytes:
        """The page, with gauges and counters brought up to the engine's account."""
        account = engine.account
        self._running.set(engine.running)
        self._waiting.set(engine.waiting)
        self._kv_usage.set(engine.kv_usage_ratio)
        self._prompt.inc(account.prompt_tokens - self._seen_prompt)
        self._generated.inc(account.generated_tokens - self._seen_generated)
        self._energy.inc(account.energy_j - self._seen_energy_j)
        self._seen_prompt, self._seen_generated = account.prompt_tokens, account.generated_tokens
        self._seen_energy_j = account.energy_j
        return generate_latest(self.registry)

    def _observe_finished(self, sequence: Sequence) -> None:
        self._success.inc()
        if sequence.first_token_at_s is not None:
            self._first_token_s.observe(sequence.first_token_at_s - sequence.arrived_at_s)
        if sequence.finished_at_s is not None:
            self._latency_s.observe(sequence.finished_at_s - sequence.arrived_at_s)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"vllm:{name}", text, _LABELS, registry=self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vllm:{name}", text, _LABELS, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Iterable[float]) -> Histogram:
        return Histogram(f"vllm:{name}", text, _LABELS, registry=self.registry, buckets=tuple(buckets))
