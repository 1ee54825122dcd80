"""Compiles the fast loops with numba, once for each version of their sources, and keeps the result in the user's cache.

numba is an extra and takes long to import, so this module is imported only when a run is worth it. The functions
compiled are the very objects that plain Python calls; numba is merely told that it may.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numba
from numba.extending import register_jitable

from scheduler.planning.open_jobs import board_kernels, window_kernels
from scheduler.planning.open_jobs.board_loops import BoardLoops
from shaping import correction, deployment, energy, first_token, hold_arithmetic, learning
from simulations import token_clock, workers
from simulations.compiled import heap, holding, lessons, loop, totals, worker
from simulations.compiled.layout import Arrivals, KnownGrid, State

CACHE_VARIABLE = "SLACKTIDE_COMPILED"

Run = Callable[[State, Arrivals, KnownGrid, float], int]
Fold = Callable[[State, totals.Sums, float], None]

_MODULES: tuple[ModuleType, ...] = (heap, worker, lessons, holding, loop, totals, board_kernels, window_kernels)
_RULES: tuple[ModuleType, ...] = (
    hold_arithmetic,
    learning,
    energy,
    correction,
    deployment,
    first_token,
    token_clock,
    workers,
)
# No test for division by zero, which plain Python would have raised. No counting of references and everything in one
# piece: the loop allocates nothing, and counting the arrays of each call made it a hundred times slower (73 us a
# request instead of 0.5).
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "forceinline": True}


@cache
def compiled_run() -> Run:
    """`loop.run`, compiled; the first call of it loads it from the cache, or takes a while."""
    run: Run = _compiled(loop.run)
    return run


@cache
def compiled_fold() -> Fold:
    """`totals.fold`, compiled."""
    fold: Fold = _compiled(totals.fold)
    return fold


@cache
def compiled_board() -> BoardLoops:
    """`board_kernels` and `window_kernels`, compiled."""
    return BoardLoops(
        first_with_room=_compiled(board_kernels.first_with_room),
        least_everywhere=_compiled(board_kernels.least_everywhere),
        cheapest_places=_compiled(window_kernels.cheapest_places),
    )


def cache_folder() -> Path:
    """Where compiled code is kept: SLACKTIDE_COMPILED, else slacktide/compiled in the user's cache, by its sources."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get(CACHE_VARIABLE) or Path(base) / "slacktide" / "compiled")
    return folder / _fingerprint()


@cache
def _registered() -> None:
    for function in _functions():
        register_jitable(**_OPTIONS)(function)


def _functions() -> Iterator[FunctionType]:
    for module in (*_MODULES, *_RULES):
        for value in vars(module).values():
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                yield value


def _compiled(function: Callable[..., object]) -> Any:
    _registered()
    made: Any = numba.njit(**_OPTIONS, nogil=True)(function)
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder())  # read when the cache is opened, then given back
    try:
        made.enable_caching()
    except RuntimeError:
        warnings.warn(f"compiled code cannot be kept in {cache_folder()}: every start compiles anew", stacklevel=3)
    finally:
        config.CACHE_DIR = before
    return made


@cache
def _fingerprint() -> str:
    """Of all sources that the code is made from: numba itself looks at the outermost function's file only."""
    digest = hashlib.sha256(numba.__version__.encode())
    for module in (*_MODULES, *_RULES):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update((Path(__file__).parent / "layout.py").read_bytes())
    return digest.hexdigest()[:16]
