"""Room on the disk of the database: when to stop admitting work, and a reserve to finish what is under way."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

# Room for about a million more reports on running jobs after admission has closed.
MIN_FREE_BYTES = 512 * 1024 * 1024
BALLAST_BYTES = 32 * 1024 * 1024


class DiskGuard:
    """Watches the folder of a database; keeps a ballast file there that can be let go of on a full disk.

    On a full SQLite disk even a DELETE fails, so room cannot be made from inside the database.
    """

    def __init__(
        self, folder: Path, *, min_free_bytes: int = MIN_FREE_BYTES, ballast_bytes: int = BALLAST_BYTES
    ) -> None:
        self.folder, self.min_free_bytes = folder, min_free_bytes
        self._ballast = folder / "ballast"
        self._ballast_bytes = ballast_bytes

    def admits(self) -> bool:
        """Whether there is room for new work. Restores the ballast once there is."""
        has_room = shutil.disk_usage(self.folder).free >= self.min_free_bytes
        if has_room and not self._ballast.exists():
            self._lay_ballast()
        return has_room

    def free_ballast(self) -> bool:
        """Whether there was any."""
        try:
            self._ballast.unlink()
        except FileNotFoundError:
            return False
        return True

    def _lay_ballast(self) -> None:
        # A failed attempt leaves nothing behind: half a ballast would pass for a whole one.
        unfinished = self._ballast.with_suffix(".new")
        try:
            with unfinished.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._ballast_bytes)
            unfinished.replace(self._ballast)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
