"""What a store has to promise of files and batches. Knows no SQL, and nothing of the data behind a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scheduler.batches import Batch, StoredFile


class UnknownFileError(Exception):
    def __init__(self, file_id: str) -> None:
        self.file_id = file_id
        super().__init__(f"there is no file {file_id!r}")


class UnknownBatchError(Exception):
    def __init__(self, batch_id: str) -> None:
        self.batch_id = batch_id
        super().__init__(f"there is no batch {batch_id!r}")


class FilingReads(Protocol):
    """What may be asked at any time, beside the writer."""

    def file(self, file_id: str) -> StoredFile:
        """Raises UnknownFileError. An expired file is there until it is removed."""

    def files(
        self,
        *,
        limit: int,
        after: str | None = None,
        purpose: str | None = None,
        newest_first: bool = True,
        tenant: str | None = None,
    ) -> Sequence[StoredFile]:
        """One page in the order of creation. Raises UnknownFileError for an `after` that is not there."""

    def expired_files(self, now_s: float) -> Sequence[StoredFile]: ...

    def file_ids(self) -> frozenset[str]: ...

    def batch(self, batch_id: str) -> Batch:
        """Raises UnknownBatchError."""

    def batches(self, *, limit: int, after: str | None = None, tenant: str | None = None) -> Sequence[Batch]:
        """One page, newest first. Raises UnknownBatchError for an `after` that is not there."""

    def open_batches(self) -> Sequence[Batch]:
        """Those not in a final state, in the order of acceptance."""


class Filing(FilingReads, Protocol):
    """The one writer's view."""

    def add_file(self, file: StoredFile) -> None: ...

    def remove_file(self, file_id: str) -> None:
        """Raises UnknownFileError."""

    def add_batch(self, batch: Batch) -> None: ...

    def write_batch(self, batch: Batch) -> None:
        """As it stands now, in place of what was stored. Raises UnknownBatchError."""
