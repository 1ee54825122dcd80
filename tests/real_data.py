"""Where tests and benchmarks find the real traces. A file that is not there skips the test and says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER_VARIABLE = "SLACKTIDE_DATA"
_BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"


def data_folder() -> Path:
    """The folder of real traces: SLACKTIDE_DATA, else ../shared/data beside the checkout."""
    return Path(os.environ.get(FOLDER_VARIABLE, _BESIDE_THE_CHECKOUT))


def real_data(name: str) -> Path:
    """The path of one real file; skips the running test when it is missing."""
    path = data_folder() / name
    if not path.is_file():
        pytest.skip(
            f"real data file {name} is not in {data_folder()} (set {FOLDER_VARIABLE} to the folder that has it)"
        )
    return path
