"""What has changed on the status page since a revision. Keeps the newest of every row and no history, so a reader who
falls behind costs nothing: the next answer holds the newest of each row that it lacks. Knows no job, clock or socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
# By the table's name, by the row's id.
Tables = Mapping[str, Mapping[str, Json]]


class Board:
    """Rows by table and id. `revision` grows with each look that found something else than the one before."""

    def __init__(self, name: str) -> None:
        """`name` is part of every mark, and no two boards may have the same."""
        self._name = name
        self._tables: dict[str, dict[str, tuple[int, Json]]] = {}
        self._gone_at: dict[str, int] = {}
        self.revision = 0

    def show(self, tables: Tables) -> None:
        """What is to be seen now; a table that is left out stays as it was."""
        coming = self.revision + 1
        are_changed = [self._shown(name, rows, coming) for name, rows in tables.items()]
        if any(are_changed):
            self.revision = coming

    def _shown(self, name: str, rows: Mapping[str, Json], coming: int) -> bool:
        before = self._tables.get(name)
        known = before or {}
        after = {
            key: known[key] if key in known and known[key][1] == row else (coming, row) for key, row in rows.items()
        }
        self._tables[name] = after
        if known.keys() - after.keys() or before is None:
            self._gone_at[name] = coming
        return self._gone_at[name] == coming or any(revision == coming for revision, _ in after.values())

    @property
    def mark(self) -> str:
        """What a reader who has everything shows when it comes again."""
        return f"{self._name}.{self.revision}"

    def revision_of(self, mark: str) -> int | None:
        """The revision that a mark of this board stands for; None for another's, or none at all."""
        name, _, number = mark.rpartition(".")
        is_own = name == self._name and number.isascii() and number.isdigit() and len(number) < 16
        return int(number) if is_own and int(number) <= self.revision else None

    def since(self, revision: int | None) -> Json:
        """By table, the rows that are newer; `ids` lists all there are, where one has gone. None: everything."""
        found = {name: self._newer(name, -1 if revision is None else revision) for name in self._tables}
        return {name: one for name, one in found.items() if one["rows"] or "ids" in one}

    def _newer(self, name: str, revision: int) -> Json:
        rows = {key: row for key, (at, row) in self._tables[name].items() if at > revision}
        return {"rows": rows, "ids": list(self._tables[name])} if self._gone_at[name] > revision else {"rows": rows}


def _row(known: tuple[int, Json] | None, row: Json, coming: int) -> tuple[int, Json]:
    return known if known is not None and known[1] == row else (coming, row)
