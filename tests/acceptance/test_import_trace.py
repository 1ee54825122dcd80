"""`slacktide import-trace` from outside: a log as another scheduler writes it becomes jobs of a what-if."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slacktide.main import app
from slacktide.terminal import UsageProblem

SACCT = """JobID|Submit|Elapsed|AllocTRES|State
101|2022-03-01T10:00:00|02:00:00|cpu=16,gres/gpu=4,node=1|COMPLETED
102|2022-03-01T11:30:00|01:00:00|cpu=16,gres/gpu=1,node=1|COMPLETED
103|2022-03-01T12:00:00|00:10:00|cpu=2,node=1|COMPLETED
"""
SCENARIO = """name = "last month"
start = "2022-03-01T10:00Z"
[grid]
archetypes = { SUNNY = "solar" }
[[region]]
name = "here"
zone = "SUNNY"
gpus = 8
[[jobs]]
name = "training"
trace = "jobs.csv"
slack_s = "1d"
"""


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


@pytest.mark.slow
def test_the_accounting_of_slurm_becomes_the_jobs_of_a_scenario(tmp_path: Path) -> None:
    log, jobs, scenario, result = (tmp_path / name for name in ("acct.txt", "jobs.csv", "scenario.toml", "result.json"))
    log.write_text(SACCT)
    scenario.write_text(SCENARIO)

    said = json.loads(run("import-trace", str(log), "--out", str(jobs), "--json"))
    run("simulate", str(scenario), "--json", str(result))

    assert said == {
        "columns": ["submit_s", "duration_s", "gpus"],
        "rows": 2,
        "span_s": 5400.0,
        "begins": "2022-03-01T10:00:00Z",
        "left_out": {"no GPU": 1},
    }
    assert json.loads(result.read_text())["policy"]["jobs"] == 2


def test_packed_files_are_read_and_written(tmp_path: Path) -> None:
    log, jobs = tmp_path / "acct.gz", tmp_path / "jobs.csv.gz"
    log.write_bytes(gzip.compress(SACCT.encode()))

    run("import-trace", str(log), "--out", str(jobs))

    assert gzip.decompress(jobs.read_bytes()).decode() == "submit_s,duration_s,gpus\n0,7200,4\n5400,3600,1\n"


def test_slurm_may_count_gpus_by_type_only(tmp_path: Path) -> None:
    log, jobs = tmp_path / "acct.txt", tmp_path / "jobs.csv"
    log.write_text(
        SACCT.replace("gres/gpu=4", "gres/gpu:a100=4,gres/gpu:h100=2").replace("=1,", "=1,gres/gpu:a100=1,", 1)
    )

    run("import-trace", str(log), "--out", str(jobs))

    assert jobs.read_text() == "submit_s,duration_s,gpus\n0,7200,6\n5400,3600,1\n"


@pytest.mark.parametrize(
    ("text", "options", "what", "hint"),
    [
        ("hello\n", [], "shows no format", "--format, one of azure"),
        (SACCT, ["--format", "nqs"], "no format 'nqs'", "known are azure"),
        (SACCT.replace("02:00:00", "soon"), [], "line 2, Elapsed", "it is read as sacct"),
        ("submit_s,duration_s,gpus\n0,60,1\n", [], "what a scenario reads already", "[[jobs]] trace ="),
        ("arrival_s,prompt_tokens,output_tokens\n0,9,1\n", [], "reads already", "[[requests]] trace ="),
        (SACCT.splitlines()[0], [], "nothing that could be run again", "right file"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_the_remedy(
    tmp_path: Path, text: str, options: list[str], what: str, hint: str
) -> None:
    (tmp_path / "log").write_text(text)

    with pytest.raises(UsageProblem, match=what) as refused:
        run("import-trace", str(tmp_path / "log"), "--out", str(tmp_path / "out.csv"), *options)

    assert hint in refused.value.hint
    assert not (tmp_path / "out.csv").exists()


def servegen_clients(folder: Path) -> Path:
    lengths = {"0": {"input_tokens": "{100: 1.0}", "output_tokens": "{20: 1.0}"}}
    (folder / "chunk-0-trace.csv").write_text("0,1.0,1.0,Gamma,1.0,1.0\n600,2.0,1.0,Gamma,1.0,0.5\n")
    (folder / "chunk-0-dataset.json").write_text(json.dumps(lengths))
    return folder


def test_a_folder_of_servegens_clients_becomes_requests(tmp_path: Path) -> None:
    out = tmp_path / "requests.csv"
    asked = ("import-trace", str(servegen_clients(tmp_path)), "--from", "10m", "--for", "10m", "--out", str(out))
    told = json.loads(run(*asked, "--json"))
    assert 900 < told["rows"] < 1500
    assert told["columns"] == ["arrival_s", "prompt_tokens", "output_tokens"]
    first = out.read_text()
    run(*asked)
    assert out.read_text() == first  # the same draw


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--keep", "2"), "--keep is 2"), (("--for", "soon"), "--for: "), (("--seed", "1"), "no chunk-")],
)
def test_a_wrong_draw_is_told(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    if said != "no chunk-":
        servegen_clients(tmp_path)
    with pytest.raises(UsageProblem, match=said):
        run("import-trace", str(tmp_path), "--out", str(tmp_path / "out.csv"), *options)
