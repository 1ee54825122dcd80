"""Remembers what runs took, so that the next of their label is planned with it. The rules: planning/durations.py.

The queue is the memory: it is read once at start, and every success after that is counted as it is written.
"""

from __future__ import annotations

from scheduler.jobs import Job, JobState
from scheduler.planning.durations import PastRuns, guarded, own_count_s, run_s, with_run
from scheduler.store.contract import JobFilter, JobRecord, Reads

# Newest accepted first; what lies further back is hardly of the same code.
_MOST_READ = 2_000


class PastWork:
    """The past of one daemon; `quantile_ratio` 0 plans with what is declared."""

    def __init__(self, quantile_ratio: float) -> None:
        self._quantile_ratio, self._past = quantile_ratio, PastRuns()

    def take_up(self, quantile_ratio: float) -> None:
        """Another share of past runs, for jobs that come from now on."""
        self._quantile_ratio = quantile_ratio

    def read(self, reads: Reads) -> None:
        """What succeeded before this life. Blocks."""
        records = reads.jobs(JobFilter(states=frozenset({JobState.SUCCEEDED})), limit=_MOST_READ)
        for record in sorted(records, key=_ended_at_s):
            started_at_s, ended_at_s = record.standing.started_at_s, record.standing.ended_at_s
            if started_at_s is not None and ended_at_s is not None:
                job, done_s, gpus = record.job, record.standing.done_s, record.standing.gpus
                self.count(job, done_s, own_count_s(job, gpus, done_s, ended_at_s - started_at_s))

    def count(self, job: Job, done_s: float, last_piece_s: float) -> None:
        """A job has succeeded; its last piece took so long."""
        self._past = with_run(self._past, job, run_s(job, done_s, last_piece_s))

    def guarded(self, job: Job) -> Job:
        """The job as it is planned."""
        return guarded(self._past, job, self._quantile_ratio)


def _ended_at_s(record: JobRecord) -> float:
    return record.standing.ended_at_s or 0.0
