"""`slacktide doctor` from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slacktide.main import app

RUN = CliRunner()


@pytest.mark.slow
def test_a_machine_that_passes_the_tests_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    result = RUN.invoke(app, ["doctor", "--json"])
    found = {one["subject"]: one["verdict"] for one in json.loads(result.stdout)}
    assert result.exit_code == 0, result.stdout
    assert (found["python"], found["packages"], found["time zones"]) == ("ok", "ok", "ok")


def test_settings_that_cannot_be_used_are_told_with_a_fix(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[server]\nport = 'x'\n")
    result = RUN.invoke(app, ["doctor", "-c", str(broken)])
    assert result.exit_code == 1
    assert f"fix: slacktide config check -c {broken}" in result.stdout


def test_asking_online_uses_the_addresses_of_the_settings(tmp_path: Path) -> None:
    settings = tmp_path / "slacktide.toml"
    # Port 9 of loopback: refused at once, so that nothing waits.
    settings.write_text('[[feed]]\nkind = "uk_carbon"\nzones = ["GB"]\nbase_url = "http://127.0.0.1:9"\n')
    result = RUN.invoke(app, ["doctor", "--online", "-c", str(settings)])
    assert "http://127.0.0.1:9 does not answer: ConnectionError" in result.stdout
