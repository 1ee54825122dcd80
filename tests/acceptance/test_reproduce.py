"""`slacktide reproduce` from outside: published tables, other cells, files, and mistakes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real_data import data_folder, real_data

pytestmark = pytest.mark.slow


def reproduce(*arguments: str | Path, data: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slacktide.main", "reproduce", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "SLACKTIDE_DATA": str(data or data_folder())},
        check=False,
    )


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A year of five hours in two zones, in two files."""
    folder = tmp_path / "pack"
    folder.mkdir()
    hours = "timestamp_utc,{zone}\n0,{0}\n1,{1}\n2,{2}\n3,{3}\n4,{4}\n"
    (folder / "carbon_one.csv").write_text(hours.format(5, 1, 4, 2, 3, zone="XX-A"))
    (folder / "carbon_two.csv").write_text(hours.format(1, 1, 1, 1, 1, zone="XX-B"))
    return folder


def test_other_cells_of_another_folder_come_back_in_their_order_with_our_values(made_up: Path, tmp_path: Path) -> None:
    cells = tmp_path / "cells.csv"
    cells.write_text("zone,slack_hours,job_hours,defer_saving_g_per_kwh\nXX-B,1,2,\nXX-A,1,2,99\nXX-A,3,1,\n")
    done = reproduce("temporal_spatial_limits", "--pack", made_up, "--cells", cells, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "name": "temporal_spatial_limits",
        "rows": [
            {"zone": "XX-B", "slack_hours": 1, "job_hours": 2, "defer_saving_g_per_kwh": 0.0},
            {"zone": "XX-A", "slack_hours": 1, "job_hours": 2, "defer_saving_g_per_kwh": pytest.approx(1 / 3)},
            {"zone": "XX-A", "slack_hours": 3, "job_hours": 1, "defer_saving_g_per_kwh": 1.5},
        ],
    }


def test_cells_with_keys_only_get_every_value(made_up: Path, tmp_path: Path) -> None:
    cells = tmp_path / "cells.csv"
    cells.write_text("zone,slack_hours,job_hours\nXX-A,0,1\n")
    (row,) = json.loads(reproduce("temporal_spatial_limits", "--pack", made_up, "--cells", cells, "--json").stdout)[
        "rows"
    ]
    assert row["arrivals"] == 4
    assert row["baseline_g_per_kwh"] == 3.0


def test_gaia_prints_published_ours_and_the_worst_difference() -> None:
    real_data("reproductions/gaia/README.md")
    done = reproduce("gaia")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "Lowest-Slot" in line and "normalized_carbon" in line)
    assert line.split()[3:5] == ["0.780037", "0.78003727"]
    assert "worst difference of expected: " in done.stdout


def test_files_hold_the_table_and_a_picture(tmp_path: Path) -> None:
    real_data("reproductions/gaia/README.md")
    pytest.importorskip("matplotlib")
    done = reproduce("gaia", "--out", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "new" / "gaia.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    document = json.loads((tmp_path / "new" / "gaia.json").read_text())
    assert len(rows) == len(document["rows"]) == 21
    assert rows[1].keys() == document["rows"][1].keys()
    assert (tmp_path / "new" / "gaia.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "no study is called 'nothing'"),
        (["gaia"], "the inputs of gaia are not in"),
        (["all", "--cells", "cells.csv"], "are for one study"),
        (["gaia", "--system", "one"], "is for serving_logs"),
    ],
)
def test_a_mistake_is_two_lines_and_exit_code_two(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = reproduce(*arguments, data=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_system_of_the_server_logs_is_picked_by_name(tmp_path: Path) -> None:
    real_data("reproductions/serving_logs/README.md")
    (tmp_path / "cells.csv").write_text("metric,statistic,error_pct\ne2e_ms,mean,\n")
    asked = ("serving_logs", "--cells", tmp_path / "cells.csv", "--json", "--system")
    (row,) = json.loads(reproduce(*asked, "rtxpro6000_llama31_8b").stdout)["rows"]
    assert row["system_id"] == "rtxpro6000_llama31_8b"
    assert abs(row["error_pct"]) < 3
    assert "'other' is not in systems.csv" in reproduce(*asked, "other").stderr
    assert "no row is of the system 'other'" in reproduce("serving_logs", "--system", "other").stderr


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("zone,slack_hours,job_hours\nXX-C,1,1\n", "no carbon intensity of 'XX-C'"),
        ("zone,slack_hours,job_hours\nXX-A,soon,1\n", "'soon' is not a number"),
        ("colour\nred\n", "needs columns"),
    ],
)
def test_a_cell_that_cannot_be_answered_is_named(made_up: Path, tmp_path: Path, cells: str, said: str) -> None:
    (tmp_path / "cells.csv").write_text(cells)
    done = reproduce("temporal_spatial_limits", "--pack", made_up, "--cells", tmp_path / "cells.csv")
    assert done.returncode == 2
    assert said in done.stderr
