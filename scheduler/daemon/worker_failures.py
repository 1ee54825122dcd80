"""Says what went wrong with a worker, once a failed call, and when it rests for it and when it does so no more.

Decides the words; what rests a worker is workers.py's and outliers.py's. Instants are real seconds that never jump.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context

from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.outliers import Fault
from scheduler.daemon.workers import FAILURES_TO_EJECT, Failure, Worker

log = logging.getLogger(__name__)

REMEDIES = {
    Failure.UNREACHABLE: "start the server there, or correct `url` of its [[worker]] and send SIGHUP",
    Failure.BROKEN_OFF: "look in its log for a crash or a lack of memory; a proxy between may cut long answers off",
    Failure.SILENT: "look in its log and at its load; for longer answers raise `timeout_s` of its [[worker]]",
    Failure.ERROR: "look in its log at this instant; a redirect is a wrong `url` of its [[worker]]",
    Failure.OVERLOADED: "lower `max_sequences` of its [[worker]] to what it can take, or add workers for the model",
}
_OF_FAILURES = "failures"
_BESIDE_ITS_PEERS = "compare its log and its GPUs with the others' of the model; [outliers] says when a worker rests"


class WorkerFailures:
    """The failures and rests of the workers of one gateway."""

    def __init__(self, env: Env, metrics: Metrics) -> None:
        self._env, self._metrics = env, metrics
        self._resting: dict[Worker, tuple[float, asyncio.TimerHandle]] = {}  # since when, and the look after it

    def note(self, worker: Worker, model: str, failure: Failure, detail: str) -> None:
        """A call of it failed."""
        now_s = self._env.monotonic_s()
        rest_s = worker.failed(failure, now_s)
        self._metrics.worker_failures.labels(worker.name, failure).inc()
        told = {"worker": worker.name, "model": model, "failure": failure, "detail": detail}
        log.warning("worker failed", extra={"action": "worker_failed", **told, "remedy": REMEDIES[failure]})
        if rest_s is not None:
            why = f"{FAILURES_TO_EJECT} calls in a row failed, the last one of {model}: {failure}, {detail}"
            self._rests(worker, _OF_FAILURES, rest_s, why, REMEDIES[failure])

    def worse_than_peers(self, worker: Worker, fault: Fault, rest_s: float) -> None:
        """It begins a rest for what it does beside the others of its model."""
        what = "fails more of its calls" if fault is Fault.ERRORS else "takes longer to answer"
        self._rests(worker, fault.value, rest_s, f"it {what} than the others of its model", _BESIDE_ITS_PEERS)

    def answered(self, worker: Worker) -> None:
        """A call of it succeeded, which may have ended its rest."""
        worker.succeeded()
        if self._resting and worker in self._resting:
            self._look(worker)

    def close(self) -> None:
        for _, handle in self._resting.values():
            handle.cancel()
        self._resting.clear()

    def _rests(self, worker: Worker, fault: str, rest_s: float, why: str, remedy: str) -> None:
        if worker.is_retired:  # it is given nothing more, rested or not
            return
        self._metrics.worker_rests.labels(worker.name, fault).inc()
        told = {"worker": worker.name, "models": _models(worker), "fault": fault, "rest_s": rest_s}
        log.warning("worker rests", extra={"action": "worker_rests", **told, "why": why, "remedy": remedy})
        now_s = self._env.monotonic_s()
        since_s = self._resting[worker][0] if worker in self._resting else now_s
        self._look_later(worker, since_s, rest_s)

    def _look_later(self, worker: Worker, since_s: float, wait_s: float) -> None:
        if worker in self._resting:
            self._resting[worker][1].cancel()
        # In a context of its own: the request in whose course it failed has nothing to do with the end.
        handle = asyncio.get_running_loop().call_later(wait_s, self._look, worker, context=Context())
        self._resting[worker] = (since_s, handle)

    def _look(self, worker: Worker) -> None:
        since_s, handle = self._resting[worker]
        now_s = self._env.monotonic_s()
        left_s = worker.rests_until_s - now_s
        if left_s > 0.0:
            self._look_later(worker, since_s, left_s)
            return
        handle.cancel()
        del self._resting[worker]
        if worker.is_retired:
            return
        told = {"worker": worker.name, "models": _models(worker), "rested_s": round(now_s - since_s, 3)}
        log.info("worker is given requests again", extra={"action": "worker_rest_ended", **told})


def _models(worker: Worker) -> str:
    return " ".join(worker.settings.models)
