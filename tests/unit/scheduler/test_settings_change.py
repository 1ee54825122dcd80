"""What a running daemon can take up, and what only a start does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from scheduler.config import Settings, validate
from scheduler.settings_change import fixed_changes, why_fixed


def settings(**tables: Any) -> Settings:
    defaults: dict[str, Any] = {
        "region": [{"name": "here", "zone": "SUN", "gpus": 2}],
        "worker": [{"url": "http://a:1", "models": ["m"], "region": "here"}],
    }
    return validate({**defaults, **tables})


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"worker": []},
        {"worker": [{"url": "http://b:1", "models": ["n"], "region": "here", "max_sequences": 3}]},
        {"region": [{"name": "here", "zone": "SUN", "gpus": 9, "power_cap_kw": 3, "interactive_gpus": 1}]},
        {"feed": [{"kind": "synthetic", "zones": ["SUN"], "archetype": "wind"}]},
        {"template": [{"name": "t", "command": ["true"]}]},
        {"tenant": [{"name": "t", "requests_per_minute": 3}]},
        {"shaping": {"max_held": 3, "flex_deadline_s": 60, "flex_margin_s": 1}},
        {"server": {"keys_sha256": ["a" * 64], "drain_s": 1}},
        {"outliers": {"enabled": False}},
        {"budget": [{"tenant": "t", "per": "day", "kwh": 3}]},
        {"price": {"trace": "prices.csv"}, "objective": {"usd": 1}},
        {"region": [{"name": "here", "zone": "SUN", "gpus": 2, "price_usd_per_kwh": 0.1, "gpu_hour_usd": 2}]},
        {"planning": {"replan_s": 60, "duration_quantile_ratio": 0.5, "correct_forecasts": False}},
        {"consolidation": {"enabled": True}, "hand_over": {"link_setup_s": 1}},
        {"model_pool": [{"name": "auto", "candidates": ["m"], "cascade": True}]},
        {"launch": [{"name": "l", "cron": "0 6 * * *", "command": ["true"], "duration_s": 60, "within_s": 600}]},
    ],
)
def test_a_running_daemon_takes_these_up(tables: dict[str, Any]) -> None:
    assert fixed_changes(settings(), settings(**tables)) == []


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        (
            {"server": {"port": 1, "host": "::1", "state_dir": "x", "database_url": "sqlite:///x"}},
            ["server.host", "server.port", "server.state_dir", "server.database_url"],
        ),
        ({"region": [{"name": "here", "zone": "COAL", "gpus": 3}]}, ["region.zone of here"]),
        ({"region": [{"name": "there", "zone": "SUN", "gpus": 2}], "worker": []}, ["region.name"]),
        ({"shaping": {"min_group": 2}}, ["shaping.min_group"]),
        ({"batches": {"max_lines": 3}}, ["batches.max_lines"]),
        ({"planning": {"lease_s": 3, "replan_s": 3}}, ["planning.lease_s"]),
        ({"telemetry": {"sample_s": 3}}, ["telemetry.sample_s"]),
        ({"tracing": {"sample_ratio": 0.5}}, ["tracing.sample_ratio"]),
        ({"oidc": {"issuer": "https://id"}}, ["oidc.issuer"]),
        ({"worker": [{"url": "http://a:1", "models": ["m"], "region": "here", "devices": ["0"]}]}, ["worker.devices"]),
        ({"worker": [{"url": "http://a:1", "models": ["m"], "region": "here", "agent": "g"}]}, ["worker.agent"]),
        ({"agent": [{"name": "g", "url": "http://g:1"}]}, ["agent"]),
    ],
)
def test_these_are_named_as_needing_a_start(tables: dict[str, Any], named: list[str]) -> None:
    assert fixed_changes(settings(), settings(**tables)) == named
    assert all(why_fixed(key) for key in named)


def test_every_table_is_either_taken_up_or_named() -> None:
    """A table that is added later is refused until somebody makes it change."""
    tables = {one.name for one in dataclasses.fields(Settings)}
    assert {"planning", "objective", "price", "oidc", "budget", "model_pool", "consolidation"} < tables
    assert fixed_changes(settings(), settings(planning={"policy": "run_now"})) == ["planning.policy"]


def test_the_documentation_says_of_every_table_why_it_takes_a_start() -> None:
    text = (Path(__file__).parents[3] / "docs" / "workers.md").read_text("utf-8")
    for table in (one.name for one in dataclasses.fields(Settings)):
        if f"[{table}]" not in text:
            pytest.fail(f"docs/workers.md says nothing of [{table}] on a reload")
    for key in ("server.port", "shaping.policy", "batches.max_lines", "planning.policy", "oidc.issuer", "region.name"):
        assert why_fixed(key) in text
