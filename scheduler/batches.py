"""What a batch of requests and an uploaded file are, and the states a batch may pass through. Pure.

Names and order of the states are those of OpenAI's Batch API, so that its clients read them. Knows no line of a batch:
what has been answered is in the files of the batch, and only its totals are kept here once they are final.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType


class FilePurpose(StrEnum):
    """What a file is for; the last two are of files that we make."""

    ASSISTANTS = "assistants"
    BATCH = "batch"
    FINE_TUNE = "fine-tune"
    VISION = "vision"
    USER_DATA = "user_data"
    EVALS = "evals"
    BATCH_OUTPUT = "batch_output"
    FINE_TUNE_RESULTS = "fine-tune-results"


UPLOAD_PURPOSES = frozenset(set(FilePurpose) - {FilePurpose.BATCH_OUTPUT, FilePurpose.FINE_TUNE_RESULTS})
# Bounds of `expires_after`, and how long a batch's input is kept when nothing is said: as OpenAI documents them.
SHORTEST_LIFE_S, LONGEST_LIFE_S = 3600.0, 30 * 86400.0
BATCH_INPUT_LIFE_S = 30 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that a client sent or a batch left. `filename` is for people; the data lies under the id."""

    id: str
    purpose: FilePurpose
    filename: str
    size_bytes: int
    created_at_s: float
    expires_at_s: float | None = None
    tenant: str = "default"

    def is_expired(self, now_s: float) -> bool:
        return self.expires_at_s is not None and self.expires_at_s <= now_s


class BatchStatus(StrEnum):
    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


# What may follow what. A batch whose window is over leaves `in_progress` at once: what is left is written off then.
TRANSITIONS: Mapping[BatchStatus, frozenset[BatchStatus]] = MappingProxyType(
    {
        BatchStatus.VALIDATING: frozenset(
            {BatchStatus.FAILED, BatchStatus.IN_PROGRESS, BatchStatus.CANCELLING, BatchStatus.EXPIRED}
        ),
        BatchStatus.IN_PROGRESS: frozenset({BatchStatus.FINALIZING, BatchStatus.CANCELLING, BatchStatus.EXPIRED}),
        BatchStatus.FINALIZING: frozenset({BatchStatus.COMPLETED}),
        BatchStatus.CANCELLING: frozenset({BatchStatus.CANCELLED}),
        BatchStatus.FAILED: frozenset(),
        BatchStatus.COMPLETED: frozenset(),
        BatchStatus.EXPIRED: frozenset(),
        BatchStatus.CANCELLED: frozenset(),
    }
)
FINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)


class IllegalBatchMoveError(Exception):
    """A change that the table of transitions does not hold."""

    def __init__(self, batch_id: str, before: BatchStatus, after: BatchStatus) -> None:
        self.batch_id, self.before, self.after = batch_id, before, after
        super().__init__(f"batch {batch_id} is {before} and cannot become {after}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineProblem:
    """Why a file is refused; `line` counts from 1, None where it is the file as a whole."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCounts:
    """How many lines there are, and how many have ended well or not."""

    total: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def open(self) -> int:
        return self.total - self.completed - self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as it is stored. `deadline_at_s` is the end of its window: what is not answered by then never is.

    `entered_at_s` tells when each state was entered. `line_s` is a first guess of how long one line takes.
    """

    id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at_s: float
    deadline_at_s: float
    output_file_id: str
    error_file_id: str
    status: BatchStatus = BatchStatus.VALIDATING
    model: str | None = None
    counts: LineCounts = LineCounts()
    output_bytes: int = 0
    error_bytes: int = 0
    line_s: float = 0.0
    problems: tuple[LineProblem, ...] = ()
    metadata: dict[str, str] | None = None
    output_life_s: float | None = None
    entered_at_s: dict[BatchStatus, float] = field(default_factory=dict)
    tenant: str = "default"

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


def moved(batch: Batch, status: BatchStatus, now_s: float) -> Batch:
    """The batch in its next state. Raises IllegalBatchMoveError."""
    if status not in TRANSITIONS[batch.status]:
        raise IllegalBatchMoveError(batch.id, batch.status, status)
    return replace(batch, status=status, entered_at_s={**batch.entered_at_s, status: now_s})
