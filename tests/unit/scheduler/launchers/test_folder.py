from __future__ import annotations

import json
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from scheduler.launchers.contract import AlreadyStartedError, Ending, LaunchError, RunEnded, RunSpec
from scheduler.launchers.folder import RunFolders


def a_run(**changed: object) -> RunSpec:
    settings: dict[str, object] = {"job_id": "j", "attempt": 1, "token": 1, "command": ("true",)}
    return RunSpec(**(settings | changed))  # type: ignore[arg-type]


def folders_with(run: RunSpec, root: Path) -> RunFolders:
    folders = RunFolders(root)
    folders.prepare()
    with folders.created(run, 100.0):
        pass
    return folders


def end_after(root: Path, *, asked: str | None, exit_code: int, was_killed: bool = False) -> RunEnded:
    run = a_run()
    folders = folders_with(run, root)
    exited = {
        "asked": asked,
        "exit_code": exit_code,
        "was_killed": was_killed,
        "problem": "",
        "started_at_s": 100.0,
        "ended_at_s": 160.0,
    }
    (folders.folder(run.run_id) / "exit.json").write_text(json.dumps(exited))
    ended = folders.end(run.run_id)
    assert ended is not None
    return ended


@pytest.mark.parametrize(
    ("asked", "exit_code", "was_killed", "ending"),
    [
        (None, 0, False, Ending.EXITED),
        (None, 1, False, Ending.EXITED),
        (None, -SIGTERM, False, Ending.EXITED),  # somebody else's signal is no pause of ours
        ("pause", 0, False, Ending.PAUSED),
        ("pause", -SIGTERM, False, Ending.PAUSED),
        ("pause", 128 + SIGTERM, False, Ending.PAUSED),
        ("pause", 1, False, Ending.EXITED),  # it failed while checkpointing
        ("pause", -SIGKILL, True, Ending.LOST),  # its grace ran out: no checkpoint to rely on
        ("stop", 0, False, Ending.STOPPED),
        ("stop", -SIGKILL, True, Ending.STOPPED),
        ("outside", 0, False, Ending.LOST),  # the system went down under it
    ],
)
def test_how_a_run_ended_follows_from_what_was_asked_and_what_it_answered(
    tmp_path: Path, asked: str | None, exit_code: int, was_killed: bool, ending: Ending
) -> None:
    assert end_after(tmp_path, asked=asked, exit_code=exit_code, was_killed=was_killed).ending is ending


def test_only_a_run_that_ended_by_itself_with_zero_has_succeeded(tmp_path: Path) -> None:
    assert end_after(tmp_path / "a", asked=None, exit_code=0).has_succeeded
    assert not end_after(tmp_path / "b", asked="pause", exit_code=0).has_succeeded


def test_a_run_is_named_by_its_job_and_attempt() -> None:
    assert a_run(job_id="train-7", attempt=3).run_id == "slacktide-train-7-3"


@pytest.mark.parametrize("job_id", ["", "..", "a/b", "../a", "-rf", "a b", "a\n", "x" * 200])
def test_a_job_id_that_is_no_plain_name_is_refused(job_id: str) -> None:
    with pytest.raises(LaunchError):
        a_run(job_id=job_id)


def test_a_folder_that_is_there_settled_or_not_is_never_made_again(tmp_path: Path) -> None:
    folders = folders_with(a_run(), tmp_path)
    with pytest.raises(AlreadyStartedError), folders.created(a_run(), 200.0):
        pass
    folders.settle("slacktide-j-1")
    assert folders.run_ids() == []
    with pytest.raises(AlreadyStartedError), folders.created(a_run(), 200.0):
        pass


def test_a_folder_left_half_made_is_made_anew(tmp_path: Path) -> None:
    folders = RunFolders(tmp_path)
    folders.prepare()
    (tmp_path / "runs" / ".new-slacktide-j-1").mkdir()
    assert folders.run_ids() == []
    with folders.created(a_run(), 100.0):
        assert folders.run_ids() == ["slacktide-j-1"]


def test_the_lock_says_whether_a_run_is_supervised(tmp_path: Path) -> None:
    folders = RunFolders(tmp_path)
    folders.prepare()
    with folders.created(a_run(), 100.0):
        assert folders.is_supervised("slacktide-j-1")
    assert not folders.is_supervised("slacktide-j-1")
