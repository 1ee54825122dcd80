"""`slacktide keys` from outside: the commands of docs/keys.md as a reader types them, and its mistakes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.config_text import read_settings
from tests.acceptance.console import examples
from tests.architecture.sources import ROOT

pytestmark = pytest.mark.slow

KEYS = (ROOT / "docs/keys.md").read_text("utf-8")
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
SETTINGS = '[server]\nport = 0\nstate_dir = "state"\n[[region]]\nname = "here"\nzone = "SUN"\n'


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a shell beside a daemon that has no keys yet, in an empty folder."""
    (tmp_path / "slacktide.toml").write_text(SETTINGS)
    environment = {**os.environ, "PATH": PATH, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("SLACKTIDE_KEY", None)
    command = [sys.executable, "-m", "slacktide.main", "serve"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr is not None
        found = None
        while found is None:
            line = daemon.stderr.readline()
            assert line, "the daemon ended before it served"
            found = re.search(r"daemon_ready.*address=(http://\S+)", line)
        yield {**environment, "SLACKTIDE_URL": found[1], "PWD": str(tmp_path)}
        daemon.terminate()
        daemon.stderr.read()


def typed(shell: dict[str, str], script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euc", script], cwd=shell["PWD"], env=shell, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_commands_of_the_page_work_one_after_another(shell: dict[str, str]) -> None:
    commands = "\n".join(one.command for one in examples(KEYS))
    done = typed(shell, f"{commands}\nslacktide keys list --json > list.json")
    assert done.returncode == 0, done.stderr
    operations, backend, successor = json.loads((Path(shell["PWD"]) / "list.json").read_text())
    assert (operations["tenant"], operations["scopes"], operations["name"]) == (None, ["read", "admin"], "operations")
    assert (backend["state"], backend["replaced_by"], successor["state"]) == ("revoked", successor["id"], "active")
    shown = (Path(shell["PWD"]) / "search.key").read_text()
    assert re.fullmatch(rf"tide-{backend['id']}-[\w-]{{43}}\n", shown)
    assert shown.strip() not in done.stdout + done.stderr
    assert re.search(rf"{backend['id']} +active +search +inference,read", done.stdout)
    assert re.search(rf"200 +- +POST /api/v1/keys/{{id}}/revoke +{backend['id']}", done.stdout)
    assert "backoffice, set by keys\nWHAT      PER     MOST  LEFT\n" in done.stdout
    assert "backoffice is not limited" in done.stdout
    assert done.stderr.count("keep it now: it is not shown again") == 3


def test_mistakes_end_in_a_line_and_a_hint(shell: dict[str, str]) -> None:
    for script, said in (
        ("slacktide keys create --scope read", "say whose key it is"),
        ("slacktide keys create --scope read --tenant a --all-tenants", "say whose key it is"),
        ("slacktide keys create --scope admin --tenant a", "the first key must have the scope admin and no tenant"),
        ("slacktide keys create --scope all --all-tenants", "scopes: must be some of inference, batches, jobs"),
        ("slacktide keys create --scope admin --all-tenants --expires soon", "expires: "),
        ("slacktide keys revoke 0123456789ab", "There is no key '0123456789ab'"),
        ("slacktide keys quota red --clear --usd-per-month 3", "--clear takes all limits away"),
        ("slacktide keys quota red --usd-per-month -3", "--usd-per-month"),
    ):
        done = typed(shell, script)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
    assert "there are no keys" in typed(shell, "slacktide keys list").stderr


def test_the_settings_of_the_page_are_settings() -> None:
    (tenant,) = read_settings(
        "\n".join(re.findall(r"^```toml\n(.*?)^```", KEYS, re.MULTILINE | re.DOTALL)), "docs", {}
    ).settings.tenant
    assert (tenant.name, tenant.requests_per_minute, tenant.usd_per_month) == ("search", 600, 400.0)
