"""The loops of piece_kernels.py, compiled with numba.

numba is an extra and takes longer to import than a search takes: so nothing imports this module that plans one job and
ends. What is compiled is kept where Python keeps its own compiled code, or else in the user's cache, until the kernels
change.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import Any

from scheduler.planning.one_job import piece_kernels
from scheduler.planning.one_job.piece_loops import Loops


@cache
def compiled_loops() -> Loops | None:
    """None where numba is not installed. The first search loads what is kept, or compiles for some seconds."""
    if find_spec("numba") is None:
        return None
    return Loops(
        sweep=_compiled(piece_kernels.sweep),
        walk_back=_compiled(piece_kernels.walk_back),
        fill_rows=_compiled(piece_kernels.fill_rows),
    )


def _compiled(function: Any) -> Any:
    import numba

    made = numba.njit(error_model="numpy", nogil=True)(function)
    with suppress(RuntimeError):  # no folder can be written: every start compiles anew
        made.enable_caching()
    return made
