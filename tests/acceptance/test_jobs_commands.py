"""`slacktide submit`, `jobs`, `show`, `explain` and `cancel` from outside, against a daemon that serves."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

KEY = "a-key-of-the-tests"
SETTINGS = """
[server]
port = 0
state_dir = "state"
keys_sha256 = ["{digest}"]

[[region]]
name = "here"
zone = "SUN"
gpus = 2

[[feed]]
kind = "synthetic"
zones = ["SUN"]

[[template]]
name = "sleep"
command = ["sleep", "{{seconds}}"]

[[worker]]
url = "http://127.0.0.1:9"
models = ["llama-3.1-8b"]
region = "here"
"""
A_JOB = ["--template", "sleep", "--arg", "seconds=1", "--duration", "3h", "--power", "700W"]
# By the sun over Greenwich now may be the cleanest hour: what has to wait says so itself.
LATER = ["--earliest-start", (datetime.now(UTC) + timedelta(hours=2)).isoformat()]
SLACKTIDE = [sys.executable, "-m", "slacktide.main"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("daemon")
    settings = SETTINGS.format(digest=hashlib.sha256(KEY.encode()).hexdigest())
    (folder / "slacktide.toml").write_text(settings)
    with subprocess.Popen([*SLACKTIDE, "serve"], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "the daemon ended before it served"
            found = re.search(r"daemon_ready.*address=(http://\S+)", line)
        yield found[1]
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0


def slacktide(address: str, *arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SLACKTIDE_URL": address, "SLACKTIDE_KEY": key, "HTTP_PROXY": "http://127.0.0.1:9"}
    return subprocess.run(
        [*SLACKTIDE, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def answered(address: str, *arguments: str) -> Any:
    done = slacktide(address, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_job_is_submitted_listed_shown_explained_and_cancelled(address: str) -> None:
    a_night = [*A_JOB, *LATER, "--within", "24h", "--label", "night"]
    job = answered(address, "submit", *a_night, "--idempotency-key", "one")
    again = answered(address, "submit", *a_night, "--idempotency-key", "one")
    assert again["id"] == job["id"]

    listed = slacktide(address, "jobs", "--state", "waiting")
    assert re.search(rf"{job['id']} +waiting +night +here", listed.stdout)

    shown = slacktide(address, "show", job["id"])
    assert f"  deadline   {job['deadline'].replace('T', ' ').replace(':00Z', 'Z')}\n" in shown.stdout
    assert "cleanest window" in shown.stdout or "the deadline leaves no choice" in shown.stdout
    explained = slacktide(address, "explain", job["id"])
    assert "forecast   of SUN: live forecast from synthetic" in explained.stdout
    assert "  latest     start at " in explained.stdout

    assert slacktide(address, "cancel", job["id"]).stdout == f"{job['id']} is cancelled\n"
    assert "latest" not in slacktide(address, "explain", job["id"]).stdout
    twice = slacktide(address, "cancel", job["id"])
    assert (twice.returncode, twice.stdout) == (2, "")


def test_a_job_on_hold_says_so_until_it_is_let_go(address: str) -> None:
    job = answered(address, "submit", *A_JOB, *LATER, "--within", "24h")
    assert slacktide(address, "pause", job["id"]).stdout == f"{job['id']} is waiting, on hold\n"
    assert "  state      waiting, on hold\n" in slacktide(address, "show", job["id"]).stdout
    assert re.search(rf"{job['id']} +waiting, on hold ", slacktide(address, "jobs", "--state", "waiting").stdout)
    assert answered(address, "resume", job["id"])["on_hold_since"] is None
    assert "on hold" not in slacktide(address, "show", job["id"]).stdout
    assert slacktide(address, "requeue", job["id"]).returncode == 2, "it is not in quarantine"
    answered(address, "cancel", job["id"])
    assert slacktide(address, "pause", job["id"]).returncode == 2, "it has ended"


def test_a_dry_run_leaves_no_job(address: str) -> None:
    before = answered(address, "jobs")["data"]
    draft = answered(address, "submit", *A_JOB, "--within", "24h", "--dry-run")

    assert draft["plan"]["segments"][0]["region"] == "here"
    assert answered(address, "jobs")["data"] == before


def test_a_batch_is_read_line_by_line(address: str, tmp_path: Path) -> None:
    lines = [
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "llama-3.1-8b", "messages": [{"role": "user", "content": "hello"}]},
        }
        for number in range(3)
    ]
    batch = tmp_path / "requests.jsonl"
    batch.write_text("\n".join(json.dumps(line) for line in lines) + "\n")

    draft = answered(address, "submit", "--batch", str(batch), "--within", "12h", "--dry-run")
    assert draft["duration_s"] > 0

    batch.write_text(json.dumps(lines[0]) + '\n{"custom_id": NaN}\n')
    refused = slacktide(address, "submit", "--batch", str(batch), "--within", "12h")
    assert refused.returncode == 2
    assert "requests.jsonl:2: NaN" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit", *A_JOB, "--within", "1h"], "deadline: cannot finish"),
        (["submit", *A_JOB, "--within", "1h", "--gpus", "3"], "gpus"),
        (["submit", "--template", "nobody", "--within", "1h"], "template: 'nobody' is none of the templates: sleep"),
        (["submit", "--within", "1h"], "--template and --batch"),
        (["submit", *A_JOB, "--within", "24h", "--arg", "seconds"], "--arg seconds"),
        (["jobs", "--state", "asleep"], "state: asleep is none of waiting"),
        (["show", "no/such job"], "there is no job 'no/such job'"),
    ],
)
def test_what_the_daemon_refuses_is_one_line_with_its_field_and_exit_code_2(
    address: str, arguments: list[str], message: str
) -> None:
    done = slacktide(address, *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr


def test_a_refused_job_is_told_which_options_would_do(address: str) -> None:
    done = slacktide(address, "submit", *A_JOB, "--within", "1h", "--gpus", "3")
    assert "  hint: this would do: --gpus 2 --duration" in done.stderr
    assert "--deadline 20" in done.stderr


def test_a_wrong_key_is_the_users_to_mend_and_is_not_repeated(address: str) -> None:
    done = slacktide(address, "jobs", key="wrong-secret")

    assert done.returncode == 2
    assert "SLACKTIDE_KEY" in done.stderr
    assert "wrong-secret" not in done.stderr


def test_without_a_daemon_the_hint_names_serve_and_the_exit_code_is_1() -> None:
    done = slacktide("http://127.0.0.1:1", "jobs")

    assert done.returncode == 1
    assert "no daemon answers at http://127.0.0.1:1" in done.stderr
    assert "slacktide serve" in done.stderr
