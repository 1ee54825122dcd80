"""What model pools have spent of their windows, kept in one file over restarts of the daemon.

Decides that a budget of another amount goes on in the same window, and that one of another unit or length begins anew.
A kill loses what was spent since the file was last written; a disk that takes nothing costs a line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Never

import msgspec

from scheduler.daemon.env import Env
from scheduler.worker_settings import ModelPoolSettings
from shaping.shadow_price import PacedBudget

log = logging.getLogger(__name__)

_EVERY_S = 10.0  # real seconds; what a kill can lose
_J_PER_KWH = 3.6e6
_GRAMS, _JOULES = "gco2e", "j"


class _Window(msgspec.Struct, frozen=True, kw_only=True):
    """One pool's line of the file; what it spent is in the unit that it names."""

    unit: str
    window_s: float
    began_at_s: float
    spent_cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    budget: PacedBudget
    limit_cost: float
    unit: str
    window_s: float


class PoolBudgets:
    """The budgets of all model pools. Without a path nothing is read or written."""

    def __init__(self, path: Path | None, env: Env) -> None:
        self._path, self._env = path, env
        self._before = {} if path is None else _read(path)
        self._budgets: dict[str, _Kept] = {}
        self._written = b""

    def budget(self, settings: ModelPoolSettings) -> PacedBudget | None:
        """The budget of one pool, in the window that the last daemon left; None where it has none."""
        now_s = self._env.now_s()
        limit_cost, unit = settings.budget_gco2e, _GRAMS
        if settings.budget_kwh is not None:
            limit_cost, unit = settings.budget_kwh * _J_PER_KWH, _JOULES
        if limit_cost is None:
            return None
        window_s, kept = settings.budget_window_s, self._budgets.get(settings.name)
        if kept is not None:
            if (kept.limit_cost, kept.unit, kept.window_s) == (limit_cost, unit, window_s):
                return kept.budget
            self._before[settings.name] = self._window(kept)
        new = _Window(unit=unit, window_s=window_s, began_at_s=now_s, spent_cost=0.0)
        window = self._before.get(settings.name, new)
        if (window.unit, window.window_s) != (unit, window_s):
            window = new
        budget = PacedBudget(
            limit_cost=limit_cost,
            window_s=window_s,
            began_at_s=min(now_s, window.began_at_s),  # later only by a clock that was ahead
            spent_cost=window.spent_cost,
        )
        self._budgets[settings.name] = _Kept(budget=budget, limit_cost=limit_cost, unit=unit, window_s=window_s)
        return budget

    def keep_only(self, names: Container[str]) -> None:
        """The budgets of other pools are nobody's any more; one that comes back goes on in its window."""
        for name in [name for name in self._budgets if name not in names]:
            self._before[name] = self._window(self._budgets.pop(name))

    async def run(self) -> Never:
        """Write down what was spent every few seconds."""
        while True:
            await self._env.sleep_s(_EVERY_S * self._env.speed)
            self.save()

    def save(self) -> None:
        """Replace the file, where anything has been spent since."""
        if self._path is None or not self._budgets:
            return
        text = msgspec.json.encode({name: self._window(one) for name, one in self._budgets.items()})
        if text == self._written:
            return
        beside = self._path.with_suffix(".new")
        try:
            beside.write_bytes(text)
            beside.replace(self._path)
        except OSError as error:
            fields = {"action": "pool_budgets_not_written", "path": str(self._path), "reason": error.strerror}
            log.error("what model pools spent is kept in memory only", extra=fields)
        else:
            self._written = text

    def _window(self, one: _Kept) -> _Window:
        began_at_s, spent_cost = one.budget.spent(self._env.now_s())
        return _Window(unit=one.unit, window_s=one.window_s, began_at_s=began_at_s, spent_cost=spent_cost)


def _read(path: Path) -> dict[str, _Window]:
    """What the last daemon wrote; nothing where there is no file, or where it is damaged, with a line in the log."""
    try:
        windows = msgspec.json.decode(path.read_bytes(), type=dict[str, _Window])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        fields = {"action": "pool_budgets_ignored", "path": str(path), "reason": str(error)}
        log.warning("budgets of model pools begin anew", extra=fields)
        return {}
    return {name: one for name, one in windows.items() if one.spent_cost >= 0 and one.window_s > 0}
