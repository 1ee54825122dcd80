from __future__ import annotations

import sys
from pathlib import Path

import pytest

from slacktide.doctor import (
    OWN_PACKAGES,
    Diagnosis,
    Verdict,
    clock,
    diagnose,
    disk_space,
    nvml_distribution,
    packages,
    python_version,
    sqlite_version,
    state_folder,
)
from tests.unit.scheduler.daemon.fake_nvml import fake_nvml

HOME = Path("/opt/slacktide")


def test_an_old_python_is_a_problem() -> None:
    assert python_version((3, 10, 9)).verdict is Verdict.PROBLEM
    assert python_version((3, 11, 0)).verdict is Verdict.OK


def test_packages_beside_the_command_line_are_ours() -> None:
    assert packages({name: HOME / name for name in OWN_PACKAGES}, HOME).verdict is Verdict.OK


@pytest.mark.parametrize("taken", [Path("/elsewhere/scheduler"), None])
def test_a_package_that_another_distribution_took_is_a_problem_with_its_name(taken: Path | None) -> None:
    found = packages({"scheduler": taken, "shaping": HOME / "shaping"}, HOME)
    assert found.verdict is Verdict.PROBLEM
    assert "import scheduler finds" in found.what
    assert "shaping" not in found.what
    assert "pipx" in found.fix


def test_the_deprecated_pynvml_is_a_warning() -> None:
    assert nvml_distribution(frozenset({"pynvml", "nvidia-ml-py"})).verdict is Verdict.WARNING
    assert nvml_distribution(frozenset({"nvidia-ml-py"})).verdict is Verdict.OK


@pytest.mark.parametrize(("version", "verdict"), [((3, 51, 2), Verdict.NOTE), ((3, 51, 3), Verdict.OK)])
def test_sqlite_before_the_repair_of_its_wal_is_noted(version: tuple[int, ...], verdict: Verdict) -> None:
    assert sqlite_version(version).verdict is verdict


def test_a_state_folder_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert state_folder(tmp_path / "file" / "state").verdict is Verdict.PROBLEM


def test_a_state_folder_may_be_missing_and_is_not_created_by_looking(tmp_path: Path) -> None:
    assert state_folder(tmp_path / "a" / "b").verdict is Verdict.OK
    assert not (tmp_path / "a").exists()


def test_a_full_disk_is_a_warning() -> None:
    assert disk_space(10 * 1024**3).verdict is Verdict.OK
    assert disk_space(1024**3).verdict is Verdict.WARNING


@pytest.mark.parametrize(("offset_s", "verdict"), [(2.0, Verdict.OK), (-90.0, Verdict.WARNING)])
def test_a_wrong_clock_is_a_warning(offset_s: float, verdict: Verdict) -> None:
    assert clock(offset_s).verdict is verdict


def test_whatever_is_wrong_comes_with_a_fix(tmp_path: Path) -> None:
    broken = tmp_path / "slacktide.toml"
    broken.write_text("[servr]\n")
    found = {one.subject: one for one in diagnose(broken, online=False)}
    assert found["settings"].verdict is Verdict.PROBLEM
    assert "did you mean 'server'?" in found["settings"].what
    assert all(one.fix for one in found.values() if one.verdict in {Verdict.PROBLEM, Verdict.WARNING})


# -- meters of workers -------------------------------------------------------------------------------------------------


def metered_by(folder: Path, worker: str, more: str = "") -> list[Diagnosis]:
    file = folder / "slacktide.toml"
    file.write_text(
        '[[region]]\nname = "here"\nzone = "GB"\n'
        f'[[worker]]\nurl = "http://w:1"\nmodels = ["m"]\nregion = "here"\n{worker}\n{more}'
    )
    return [one for one in diagnose(file, online=False) if one.subject == "meters"]


def test_a_worker_without_devices_is_modelled_and_the_fix_names_the_key(tmp_path: Path) -> None:
    (found,) = metered_by(tmp_path, "")
    assert found.verdict is Verdict.NOTE
    assert found.what == "the energy of http://w:1 is modelled: no meter: its [[worker]] names no `devices`"
    assert "`devices`" in found.fix
    assert "slacktide agent" in found.fix


def test_gpus_here_are_looked_for_and_one_that_is_not_there_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    nvml = fake_nvml({"GPU-a": lambda: 300.0}, now_s=lambda: 10.0, opened=opened)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert metered_by(tmp_path, 'devices = ["GPU-a"]')[0].what == "http://w:1 is metered here: GPU-a"
    (missing,) = metered_by(tmp_path, 'devices = ["GPU-b"]')
    assert (missing.verdict, "nvidia-smi -L" in missing.fix) == (Verdict.WARNING, True)
    (unbooked,) = metered_by(tmp_path, 'devices = ["GPU-a"]', "[telemetry]\nbook_metered = false\n")
    assert "book_metered = true" in unbooked.fix
    assert opened == []


def test_a_worker_of_an_agent_is_left_to_the_online_look(tmp_path: Path) -> None:
    (found,) = metered_by(
        tmp_path, 'agent = "gpu1"\ndevices = ["0"]', '[[agent]]\nname = "gpu1"\nurl = "http://gpu1:9402"\n'
    )
    assert "--online" in found.what
