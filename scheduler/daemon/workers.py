"""The inference servers behind the gateway: which are up, how busy each is, which one takes the next request.

Pure: a worker learns from what happened to calls and probes, and time comes as an argument in real seconds that never
jump. Who calls and who probes is upstream.py and probing.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from yarl import URL

from scheduler.daemon.engines import LoadReport, health_path
from scheduler.daemon.metering import Metering, MeterSight
from scheduler.daemon.openai_api import PREFIX_BLOCK_TOKENS, Endpoint
from scheduler.daemon.outliers import RecentCalls
from scheduler.daemon.upstream_target import Target
from scheduler.engine_settings import priority_order
from scheduler.worker_settings import WorkerRole, WorkerSettings
from shaping.prefixes import Prefix, PrefixIndex, load_slack, preferred
from shaping.request import PoolCapacity

# One failure is an accident; three in a row with nothing between them are a state.
FAILURES_TO_EJECT = 3
_FIRST_EJECTION_S = 1.0
_LONGEST_EJECTION_S = 30.0
# A probe is small and cheap: two silent ones in a row say more than three failed requests.
FAILED_PROBES_TO_EJECT = 2
# What an engine said of its load is worth nothing soon: requests last seconds.
_LOAD_LASTS_S = 10.0
# Above this an engine puts requests back into its queue, however few places are taken.
_FULL_KV_CACHE_RATIO = 0.95


class Failure(StrEnum):
    """How a call of a worker went wrong."""

    UNREACHABLE = "unreachable"  # no connection: nothing was sent
    BROKEN_OFF = "broken_off"  # the connection ended, or what came was not HTTP
    SILENT = "silent"  # no byte for longer than its timeout
    ERROR = "error"  # it answered 5xx
    OVERLOADED = "overloaded"  # it answered 503: healthy, but full


@dataclass(slots=True, kw_only=True)
class Served:
    """What one worker has answered since the daemon started; a log beside its meter counts in these."""

    requests: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    def add(self, prompt_tokens: int, output_tokens: int) -> None:
        self.requests += 1
        self.prompt_tokens += prompt_tokens
        self.output_tokens += output_tokens


class Worker:
    """One inference server. `in_flight` counts our own requests, since some engines say nothing of theirs."""

    __slots__ = (
        "_ejected_until_s",
        "_failed_probes",
        "_failures",
        "_next_ejection_s",
        "_others",
        "_reported_at_s",
        "adapters",
        "base_url",
        "health_url",
        "in_flight",
        "is_asleep",
        "is_leaving",
        "is_retired",
        "meter",
        "metering",
        "name",
        "prefixes",
        "priority",
        "recent",
        "report",
        "served",
        "settings",
        "target",
    )

    def __init__(self, settings: WorkerSettings) -> None:
        self.change(settings)
        self.in_flight = 0
        self.is_asleep = False  # or on its way there or back: it is given no requests
        self.is_leaving = False  # to sleep: it finishes what was released before
        self.is_retired = False  # the settings name it no more: it finishes what it has
        self.served = Served()
        self.metering: Metering | None = None  # while its GPUs are read, or may be again
        self.meter: MeterSight | None = None  # where its settings name GPUs
        self.adapters: Counter[str] = Counter()  # of the requests in flight, the base model left out
        self.report: LoadReport | None = None  # the engine's own word, as last read
        self.recent = RecentCalls()
        self._others = 0  # requests there that are not ours
        self._reported_at_s = 0.0
        self._failures = self._failed_probes = 0
        self._ejected_until_s = 0.0
        self._next_ejection_s = _FIRST_EJECTION_S

    def change(self, settings: WorkerSettings) -> None:
        """What is known of it by the settings; what has happened to it stays."""
        base = settings.url.rstrip("/")
        self.settings = settings
        self.name = str(URL(base).with_user(None))  # for logs and metrics, without credentials
        self.target = Target(base, Endpoint)
        self.base_url = base
        self.health_url = URL(base + health_path(settings.engine))
        self.priority = priority_order(settings)
        self.prefixes = PrefixIndex(settings.prefix_cache_tokens // PREFIX_BLOCK_TOKENS)  # of what it was sent

    def reported(self, report: LoadReport | None, now_s: float, *, ours: int) -> None:
        """What the engine says of its load, while `ours` of those requests were the gateway's."""
        self.report, self._reported_at_s = report, now_s
        self._others = 0 if report is None else max(0, report.requests - ours)

    def load_ratio(self, now_s: float) -> float:
        """Requests per place, those of others included where the engine says; at least 1 while its KV cache is full."""
        places = self.settings.max_sequences
        if self.report is None or now_s - self._reported_at_s > _LOAD_LASTS_S:
            return self.in_flight / places
        ratio = (self.in_flight + self._others) / places
        is_full = (self.report.kv_cache_ratio or 0.0) >= _FULL_KV_CACHE_RATIO
        return max(1.0, ratio) if is_full else ratio

    @property
    def rests_until_s(self) -> float:
        """The instant until which it is given nothing for what its calls came to."""
        return max(self._ejected_until_s, self.recent.rests_until_s)

    def is_up(self, now_s: float) -> bool:
        return now_s >= self.rests_until_s and self._failed_probes < FAILED_PROBES_TO_EJECT

    def succeeded(self) -> None:
        """A call was answered: whatever was held against the worker is forgotten."""
        if self._failures or self._failed_probes or self._ejected_until_s:
            self._failures = self._failed_probes = 0
            self._ejected_until_s = 0.0
            self._next_ejection_s = _FIRST_EJECTION_S

    def failed(self, failure: Failure, now_s: float) -> float | None:
        """A call failed; after several in a row the worker rests, each time twice as long. The rest that begins."""
        if failure is Failure.OVERLOADED:
            return None
        self._failures += 1
        if self._failures < FAILURES_TO_EJECT:
            return None
        rest_s = self._next_ejection_s
        self._ejected_until_s = now_s + rest_s
        self._next_ejection_s = min(_LONGEST_EJECTION_S, rest_s * 2)
        self._failures = 0
        return rest_s

    def probed(self, *, is_alive: bool) -> None:
        """The outcome of a health probe. An ejection for failed requests is not ended by it: `/health` may lie."""
        self._failed_probes = 0 if is_alive else self._failed_probes + 1

    def began(self, adapter: str) -> None:
        """A request is on its way to it."""
        self.in_flight += 1
        if adapter:
            self.adapters[adapter] += 1

    def ended(self, adapter: str) -> None:
        self.in_flight -= 1
        if adapter:
            self.adapters[adapter] -= 1
            if not self.adapters[adapter]:
                del self.adapters[adapter]

    @property
    def is_metered(self) -> bool:
        """Whether what it draws now is known, and is booked."""
        return self.metering is not None and self.meter is not None and not self.meter.what

    def has_place_for(self, adapter: str) -> bool:
        """Whether it runs the adapter already or may run one more."""
        limit = self.settings.max_adapters
        return not adapter or limit is None or adapter in self.adapters or len(self.adapters) < limit

    def retry_after_s(self, now_s: float) -> float:
        """When it is worth asking for it again."""
        return max(1.0, self.rests_until_s - now_s)


def choose(
    workers: Sequence[Worker],
    now_s: float,
    tried: Collection[Worker] = (),
    prefix: Prefix = (),
    adapter: str = "",
) -> Worker | None:
    """The worker that is up, awake and is least loaded; the earlier one where two are equal.

    One that is to sleep only where no other is left, for what was released before it was to.

    Of those about as idle, the one that was sent most of the `prefix` before. Only workers that serve the adapter, and
    those without a place for it last: there it waits in the engine's own queue.
    """
    for one in workers:
        if one.is_leaving:
            break
    else:
        return _choose(workers, now_s, tried, prefix, adapter)
    found = _choose([one for one in workers if not one.is_leaving], now_s, tried, prefix, adapter)
    return found or _choose([one for one in workers if one.is_leaving], now_s, tried, prefix, adapter)


def _choose(
    workers: Sequence[Worker], now_s: float, tried: Collection[Worker], prefix: Prefix, adapter: str = ""
) -> Worker | None:
    if adapter:
        serving = [one for one in workers if adapter in one.settings.adapters]
        free = [one for one in serving if one.has_place_for(adapter)]
        found = _choose(free, now_s, tried, prefix)
        return found or _choose(serving, now_s, tried, prefix)
    if prefix:
        return _choose_by_prefix([one for one in workers if one not in tried], now_s, prefix)
    best: Worker | None = None
    best_load = 0.0
    for worker in workers:
        if worker in tried or worker.is_asleep or not worker.is_up(now_s):
            continue
        load = worker.load_ratio(now_s)
        if best is None or load < best_load:
            best, best_load = worker, load
    return best


def _choose_by_prefix(workers: Sequence[Worker], now_s: float, prefix: Prefix) -> Worker | None:
    places = [one.settings.max_sequences for one in workers]
    loads_ratio = [one.load_ratio(now_s) if one.is_up(now_s) and not one.is_asleep else float("inf") for one in workers]
    slacks_ratio = [load_slack(place) / place for place in places]
    chosen = preferred(loads_ratio, slacks_ratio, [one.prefixes.known(prefix) for one in workers])
    return None if chosen is None else workers[chosen]


def capacity_of(workers: Sequence[Worker], now_s: float) -> PoolCapacity:
    """What the workers that are up and awake hold together; what all would hold when none is up: any may come back.

    While all that are up sleep there is no place, but nobody is too large for one.
    """
    up = [worker for worker in workers if worker.is_up(now_s)] or list(workers)
    awake = [worker.settings for worker in up if not (worker.is_asleep or worker.is_leaving)]
    asked = awake or [worker.settings for worker in up]
    adapters = [worker.max_adapters for worker in asked if worker.max_adapters is not None]
    kv_tokens = [worker.kv_tokens for worker in asked if worker.kv_tokens is not None]
    return PoolCapacity(
        sequences=sum(worker.max_sequences for worker in awake),
        kv_tokens=sum(kv_tokens) if len(kv_tokens) == len(asked) else None,
        workers=len(asked),
        adapters=sum(adapters) if len(adapters) == len(asked) else None,
    )


def by_model(workers: Iterable[Worker]) -> dict[str, list[Worker]]:
    """The workers of each model that write answers, in the order of the settings."""
    return _by_model(one for one in workers if one.settings.role is not WorkerRole.PREFILL)


def readers_by_model(workers: Iterable[Worker]) -> dict[str, list[Worker]]:
    """The workers of each model that only read prompts, in the order of the settings."""
    return _by_model(one for one in workers if one.settings.role is WorkerRole.PREFILL)


def _by_model(workers: Iterable[Worker]) -> dict[str, list[Worker]]:
    pools: dict[str, list[Worker]] = {}
    for worker in workers:
        for model in worker.settings.models:
            pools.setdefault(model, []).append(worker)
    return pools
