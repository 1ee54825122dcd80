"""A daemon that plans by dollars: from a file of prices, told in every unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intensity_feeds.trace_rows import TraceError
from scheduler.daemon.env import Env
from scheduler.daemon.prices import PriceFile
from scheduler.quantities import format_instant, parse_instant_s
from tests.builders import HOUR_S, YEAR_2022_AT_S
from tests.daemons import a_daemon, a_submission, got, posted, settings_of, until, until_state

pytestmark = pytest.mark.slow

CHEAP_H = 3


def tables(folder: Path, **objective: float) -> dict[str, Any]:
    """Prices of two days, low in one hour of the first night, when the made-up grid is dirty."""
    path = folder / "prices.csv"
    write_prices(path, CHEAP_H)
    region = {"name": "here", "zone": "SUN", "gpus": 2, "pue": 1.0, "embodied_kgco2e_per_gpu": 985.0}
    return {"region": [region], "price": {"trace": str(path)}, "objective": objective}


def write_prices(path: Path, cheap_h: int) -> None:
    rows = [
        f"{format_instant(YEAR_2022_AT_S + hour * HOUR_S)},SUN,{50 if hour == cheap_h else 200}" for hour in range(48)
    ]
    path.write_text("\n".join(["timestamp,zone,price_usd_per_mwh", *rows]) + "\n")


async def test_a_job_runs_in_the_cheap_hour_and_is_explained_in_dollars(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(tmp_path, usd=1.0), speed=2400.0) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission())
        _, explained = await got(client, f"/api/v1/jobs/{job['id']}/explain")

        assert parse_instant_s(job["plan"]["start"]) == YEAR_2022_AT_S + CHEAP_H * HOUR_S
        assert job["plan"]["value"] == pytest.approx(0.05)
        assert job["plan"]["value_savings_ratio"] == pytest.approx(0.75)
        assert "best window by the objective" in explained["why"]
        assert explained["explanation"]["unit"] == "USD"
        assert explained["costs"]["electricity_usd"] == pytest.approx(0.05)
        assert explained["costs"]["embodied_gco2e"] == pytest.approx(985_000 / (4 * 8766))
        assert explained["costs"]["water_l"] is None
        assert explained["costs"]["grid_gco2e"] == pytest.approx(job["plan"]["emissions_gco2e"])
        done = await until_state(client, job["id"], "succeeded")
        assert parse_instant_s(done["started_at"]) < YEAR_2022_AT_S + (CHEAP_H + 1) * HOUR_S


async def test_with_a_high_carbon_price_it_waits_for_noon_as_without_an_objective(tmp_path: Path) -> None:
    starts = []
    for number, objective in enumerate(({}, {"carbon_usd_per_t": 1e6})):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with a_daemon(folder, tables(folder, **objective), speed=1.0) as (_, client):
            _, job = await posted(client, "/api/v1/jobs", a_submission())
            starts.append(parse_instant_s(job["plan"]["start"]))
    assert starts[0] == pytest.approx(starts[1], abs=600.0)


async def test_new_prices_move_a_job_that_waits_and_a_broken_file_moves_nothing(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(tmp_path, usd=1.0), speed=60.0) as (daemon, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission())
        engine = daemon.runner.engine

        def planned_h() -> float:
            placement = engine.placement(job["id"])
            assert placement is not None
            return (placement.start_at_s - YEAR_2022_AT_S) / HOUR_S

        write_prices(tmp_path / "prices.csv", CHEAP_H + 10)
        daemon.look_at_prices()
        await until(lambda: planned_h() == CHEAP_H + 10)
        planner = engine.planner
        (tmp_path / "prices.csv").write_text("timestamp,zone\n")
        await daemon.prices.refresh(lambda prices: pytest.fail("a broken file is no news"))
        assert engine.planner is planner


async def test_a_daemon_whose_prices_are_not_there_says_which_file(tmp_path: Path) -> None:
    regions = settings_of(tmp_path, {}).region
    with pytest.raises(TraceError, match=r"none\.csv: no such file"):
        await PriceFile(Env(), str(tmp_path / "none.csv"), regions).first()
    assert await PriceFile(Env(), "", regions).first() == {}
