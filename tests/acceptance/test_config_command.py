"""`slacktide config` from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scheduler.config import Settings
from slacktide.config import example_text
from slacktide.main import app
from slacktide.terminal import UsageProblem

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_example_passes_the_check() -> None:
    assert RUN.invoke(app, ["config", "init", "slacktide.toml"]).exit_code == 0
    result = RUN.invoke(app, ["config", "check"])
    assert (result.exit_code, result.stdout) == (0, "slacktide.toml: sound\n")


def test_the_example_shows_every_table() -> None:
    missing = [name for name in Settings.__dataclass_fields__ if f"[{name}]" not in example_text()]
    assert missing == []


def test_init_replaces_a_file_only_when_told_to(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("precious")
    result = RUN.invoke(app, ["config", "init", "mine.toml"])
    assert isinstance(result.exception, UsageProblem)
    assert (tmp_path / "mine.toml").read_text() == "precious"
    assert RUN.invoke(app, ["config", "init", "mine.toml", "--force"]).exit_code == 0
    assert (tmp_path / "mine.toml").read_text() == example_text()


def test_check_tells_all_problems_and_leaves_with_2(tmp_path: Path) -> None:
    (tmp_path / "slacktide.toml").write_text("[server]\nport = 70000\nhots = 'x'\n")
    result = RUN.invoke(app, ["config", "check", "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == 2
    assert [one["where"] for one in told["errors"]] == ["slacktide.toml:2:1", "slacktide.toml:3:1"]


def test_show_names_the_origin_of_each_value_and_hides_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACKTIDE_SERVER__PORT", "9000")
    template = "[[template]]\nname = 't'\ncommand = ['x']\nenv = { TOKEN = 'canary' }\n"
    server = "[server]\ndatabase_url = 'postgresql://me:canary@db/queue'\n"
    (tmp_path / "slacktide.toml").write_text(server + template)
    result = RUN.invoke(app, ["config", "show", "--json"])
    rows = {row["key"]: (row["value"], row["origin"]) for row in json.loads(result.stdout)}
    assert rows["server.port"] == (9000, "SLACKTIDE_SERVER__PORT")
    assert rows["server.database_url"] == ("postgresql://me:(hidden)@db/queue", "slacktide.toml:2:1")
    assert rows["server.host"] == ("127.0.0.1", "default")
    assert "canary" not in result.stdout


def test_a_file_that_is_not_there_is_the_users_to_mend() -> None:
    result = RUN.invoke(app, ["config", "check", "-c", "nowhere.toml"])
    assert isinstance(result.exception, UsageProblem)
    assert "config init" in result.exception.hint
