from __future__ import annotations

import pytest

from scheduler.config_text import SettingsError, read_settings

WORKERS = """
[[region]]
name = "here"
zone = "DE"

[[worker]]
url = "http://127.0.0.1:8000"
models = ["small", "large"]
region = "here"

[[model_pool]]
"""
POOL = 'name = "auto"\ncandidates = ["small", "large"]\nrouter = "router.json"\n'


def test_a_pool_of_served_models_is_read() -> None:
    read = read_settings(WORKERS + POOL + 'budget_gco2e = 500\nbudget_window_s = "30d"\n', "s.toml", {})

    (pool,) = read.settings.model_pool
    assert (pool.name, pool.candidates, pool.budget_window_s) == ("auto", ("small", "large"), 30 * 86400.0)


@pytest.mark.parametrize(
    ("pool", "where", "said"),
    [
        (POOL.replace('"large"', '"larg"'), "13:24", "no [[worker]] serves 'larg'"),
        (POOL.replace('"auto"', '"small"'), "12:1", "a worker serves a model called 'small' already"),
        (POOL.replace('router = "router.json"', ""), "11:1", "needs router"),
        (POOL.replace("router.json", ""), "14:1", "router"),
        (POOL + "cascade = true\nbudget_kwh = 1\n", "16:1", "a cascade keeps no budget"),
        (POOL.replace('"large"', '"small"') + "cascade = true\n", "13:1", "asks each model once"),
        (POOL + 'estimates = ["weak"]\n', "15:1", "one estimate for each candidate"),
        (POOL + "floor_ratio = 0.2\n", "11:1", "is above floor_ratio"),
        (POOL + "budget_kwh = 1\nbudget_gco2e = 1\n", "16:1", "budget_kwh is set already"),
        (POOL.replace('"auto"', '"eco:auto"'), "12:1", "does not match"),
        (POOL + f"\n[[model_pool]]\n{POOL}", "17:1", "another [[model_pool]]"),
    ],
)
def test_a_pool_that_cannot_be_is_an_error_with_its_place(pool: str, where: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings(WORKERS + pool, "s.toml", {})

    (problem,) = raised.value.problems
    assert problem.where == f"s.toml:{where}"
    assert said in problem.what


def test_a_cascade_needs_no_router() -> None:
    read = read_settings(WORKERS + POOL.replace('router = "router.json"', "cascade = true"), "s.toml", {})
    assert (read.settings.model_pool[0].cascade, read.settings.model_pool[0].router) == (True, "")


ADAPTERS = """
[[worker]]
url = "http://127.0.0.1:8001"
models = ["other"]
region = "here"
adapters = ["sql", "chat"]
max_adapters = 1
"""


def test_adapters_of_a_worker_are_read() -> None:
    *_, worker = read_settings(WORKERS + POOL + ADAPTERS, "s.toml", {}).settings.worker
    assert (worker.adapters, worker.max_adapters) == (("sql", "chat"), 1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (ADAPTERS.replace('"sql"', '"small"'), "a worker serves a model called 'small' already"),
        (ADAPTERS + ADAPTERS.replace("8001", "8002").replace('"other"', '"third"'), "'sql' is an adapter of 'other'"),
        (ADAPTERS.replace('"sql"', '"auto"'), "a worker serves a model called 'auto' already"),
    ],
)
def test_a_name_belongs_to_one_model_or_adapter(changed: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings(WORKERS + POOL + changed, "s.toml", {})
    assert said in raised.value.problems[0].what
