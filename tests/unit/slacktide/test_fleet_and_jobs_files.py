"""FLEET.toml and FILE.csv: what they mean, and that a mistake is pointed at by file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from intensity_feeds.prices import PriceSeries
from intensity_feeds.series import Signal
from scheduler.planning.whole_fleet.objective import GRAMS, Limit, Limited, Objective, Weights
from scheduler.planning.whole_fleet.rules.budgets import Budget, Per, Spent
from scheduler.planning.whole_fleet.rules.transfers import Data, Link
from slacktide.fleet_file import read_fleet
from slacktide.fleet_plan import with_regions
from slacktide.jobs_file import read_jobs, read_jobs_file
from slacktide.terminal import UsageProblem

RESERVED = "[[region.reserved]]\nfrom = '08:00'\nto = '18:00'\ngpus = 2\n"
MAINTENANCE = "[[region.maintenance]]\nfrom = '2022-03-01T01:00Z'\nto = '2022-03-01T03:00Z'\n"
GRID = "timestamp,zone,gco2e_per_kwh\n2022-03-01T00:00Z,DE,300\n2022-03-01T01:00Z,DE,200\n"
PRICES = "timestamp,zone,price_usd_per_mwh\n2022-03-01T00:00Z,DE,-50\n2022-03-01T01:00Z,DE,200\n"
HEADER = "job_id,earliest_start,finish_by,duration_s,gpus,power_w_per_gpu,interruptible,regions\n"
LINE = "night,2022-03-01T00:00Z,2022-03-01T06:00Z,3600,2,300,0,DE;FR\n"
FLEET = '[carbon]\ntrace = "grid.csv"\n\n[[region]]\nzone = "DE"\ngpus = 4\n'


def fleet_path(folder: Path, text: str) -> Path:
    (folder / "grid.csv").write_text(GRID, encoding="utf-8")
    (folder / "prices.csv").write_text(PRICES, encoding="utf-8")
    path = folder / "fleet.toml"
    path.write_text(text, encoding="utf-8")
    return path


def jobs_path(folder: Path, text: str) -> Path:
    path = folder / "jobs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_fleet_has_its_defaults_and_finds_its_trace_beside_it(tmp_path: Path) -> None:
    fleet = read_fleet(fleet_path(tmp_path, FLEET))
    assert [(one.zone, one.gpus, one.pue) for one in fleet.regions] == [("DE", 4, 1.0)]
    assert fleet.forecasts["DE"].at(fleet.forecasts["DE"].start_at_s) == 300
    assert fleet.power_caps_w == {}


def test_a_power_cap_is_read_in_watts(tmp_path: Path) -> None:
    fleet = read_fleet(fleet_path(tmp_path, FLEET + "pue = 1.2\npower_cap_kw = 1.5\n"))
    assert fleet.power_caps_w == {"DE": 1500.0}
    assert fleet.regions[0].pue == 1.2


def test_regions_of_one_zone_have_gpus_of_their_own(tmp_path: Path) -> None:
    other = '[[region]]\nname = "new"\nzone = "DE"\ngpus = 2\ngpu_type = "H100"\nspeed = 2.2\npower_ratio = 1.75\n'
    fleet = read_fleet(fleet_path(tmp_path, f"{FLEET}power_cap_kw = 1\n{other}power_cap_kw = 2\n"))
    told = [(one.name, one.zone, one.gpu_type, one.speed, one.power_ratio) for one in fleet.regions]
    assert told == [("DE", "DE", "", 1.0, 1.0), ("new", "DE", "H100", 2.2, 1.75)]
    assert fleet.power_caps_w == {"DE": 1000.0, "new": 2000.0}


def test_a_job_may_use_all_regions_of_a_zone_that_have_its_gpus(tmp_path: Path) -> None:
    other = '[[region]]\nname = "new"\nzone = "DE"\ngpus = 2\ngpu_type = "H100"\n'
    fleet = read_fleet(fleet_path(tmp_path, FLEET + other))
    header = HEADER.replace("\n", ",gpu_types\n")
    cells = ("DE,", "new,", ",H100", "DE,H100", "DE;PL,", "PL,", "PL,H100", ",A100", ",")
    lines = "".join(LINE.replace("night", f"j{number}").replace("DE;FR", one) for number, one in enumerate(cells))
    jobs = with_regions(fleet, read_jobs_file(jobs_path(tmp_path, header + lines)))
    assert [job.regions for job in jobs] == [
        *(("DE", "new"), ("new",), ("new",), ("new",), ("DE", "new")),
        *(("PL",), ("PL with H100",), ("A100 in any region",), ()),
    ]


def test_a_region_says_what_it_charges_beside_its_grid(tmp_path: Path) -> None:
    charges = "embodied_kgco2e_per_gpu = 985\ngpu_hour_usd = 2\nwue_l_per_kwh = 0.36\nsource_l_per_kwh = 1.9\n"
    fleet = read_fleet(fleet_path(tmp_path, FLEET + charges + "[price]\ntrace = 'prices.csv'\n"))
    site = fleet.sites["DE"]
    # 985 kg over four years of 8766 hours.
    assert site.gco2e_per_gpu_h == pytest.approx(28.09, abs=0.01)
    assert (site.usd_per_gpu_h, site.wue_l_per_kwh, site.source_l_per_kwh) == (2.0, 0.36, 1.9)
    assert isinstance(site.usd_per_kwh, PriceSeries)
    assert site.usd_per_kwh.usd_per_kwh.tolist() == [-0.05, 0.2]


def test_a_region_holds_what_is_reserved_and_what_is_out_of_service(tmp_path: Path) -> None:
    fleet = read_fleet(fleet_path(tmp_path, FLEET + RESERVED + 'days = "Tue"\n' + MAINTENANCE))
    start_s = fleet.forecasts["DE"].start_at_s
    (region,) = fleet.regions_between(start_s, start_s + 7 * 86400.0)
    held = [((one.start_at_s - start_s) / 3600, (one.end_at_s - start_s) / 3600, one.gpus) for one in region.held]
    # 2022-03-01 is a Tuesday; maintenance without a number is the whole region.
    assert held == [(1, 3, 4), (8, 18, 2)]


def test_a_constant_price_goes_before_the_recorded_one(tmp_path: Path) -> None:
    text = FLEET + "price_usd_per_kwh = -0.01\n[price]\ntrace = 'prices.csv'\n"
    assert read_fleet(fleet_path(tmp_path, text)).sites["DE"].usd_per_kwh == -0.01


@pytest.mark.parametrize(
    ("text", "weights", "limit"),
    [
        ("", GRAMS, None),
        ("usd = 1", Weights(per_usd=1.0), None),
        ("gco2e = 1\nwaiting_kwh_h = 5", Weights(per_gco2e=1.0, per_waiting_kwh_h=5.0), None),
        ("carbon_usd_per_t = 100", Weights(per_usd=1.0, per_gco2e=1e-4), None),
        ("at_most_usd = 5", GRAMS, Limit(what=Limited.USD, most_cost=5.0)),
        ("usd = 1\nat_most_kgco2e = 2", Weights(per_usd=1.0), Limit(what=Limited.GCO2E, most_cost=2000.0)),
    ],
)
def test_an_objective_is_weights_and_a_limit(tmp_path: Path, text: str, weights: Weights, limit: Limit | None) -> None:
    fleet = read_fleet(fleet_path(tmp_path, f"{FLEET}price_usd_per_kwh = 0.1\n[objective]\n{text}\n"))
    assert fleet.objective == Objective(weights=weights, limit=limit)


def test_the_signal_chooses_the_column(tmp_path: Path) -> None:
    path = fleet_path(tmp_path, FLEET.replace("\n\n", '\nsignal = "marginal"\n\n'))
    rows = GRID.replace("\n", ",500\n").replace("kwh,500", "kwh,marginal_gco2e_per_kwh")
    (tmp_path / "grid.csv").write_text(rows, encoding="utf-8")
    series = read_fleet(path).forecasts["DE"]
    assert (series.signal, series.at(series.start_at_s)) == (Signal.MARGINAL, 500)


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (FLEET + "puee = 1.2\n", "7:1", "unknown key puee"),
        (FLEET + "pue = 0.9\n", "7:1", "pue = 0.9"),
        (FLEET + "power_cap_kw = nan\n", "7:1", "power_cap_kw = nan"),
        (FLEET.replace("gpus = 4", "gpus = 0"), "6:1", "gpus = 0"),
        (FLEET.replace("gpus = 4\n", ""), "4:1", "no gpus"),
        (FLEET.replace('"DE"', '"DD"'), "5:1", "no zone DD"),
        (FLEET.replace("grid.csv", "gird.csv"), "2:1", "no file gird.csv"),
        (FLEET.replace('trace = "grid.csv"', ""), "1:1", "names no trace"),
        (FLEET + '[[region]]\nzone = "DE"\ngpus = 1\n', "8:1", "DE is there twice"),
        ("[carbon]\ntrace = 'grid.csv'\n", "1:1", "no regions"),
        (FLEET + "zone\n", "7:5", "is no TOML"),
        (FLEET + "lifetime_years = 0\n", "7:1", "lifetime_years = 0"),
        (FLEET + "speed = 0\n", "7:1", "speed = 0"),
        (FLEET + "power_ratio = -1\n", "7:1", "power_ratio = -1"),
        (FLEET + "speed = 2\n[objective]\nwaiting_kwh_h = 1\n", "9:1", "waiting is weighed by energy"),
        (FLEET + "price_usd_per_kwh = 'dear'\n", "7:1", "price_usd_per_kwh = 'dear'"),
        (FLEET + "[objective]\nusdd = 1\n", "8:1", "unknown key usdd"),
        (FLEET + "[objective]\nusd = -1\n", "8:1", "usd = -1"),
        (FLEET + "[objective]\ngco2e = 0\n", "7:1", "one of them is above 0"),
        (FLEET + "[objective]\nusd = 1\n", "4:1", "dollars count and DE has no price"),
        (FLEET + "[objective]\nat_most_usd = 1\n", "4:1", "dollars count and DE has no price"),
        (FLEET + "[objective]\nwater_l = 1\n", "4:1", "water counts and DE has no wue_l_per_kwh"),
        (FLEET + "[objective]\nat_most_kgco2e = 1\n", "8:1", "limits the only thing that is minimised"),
        (FLEET + "[objective]\nat_most_usd = 1\nat_most_kgco2e = 1\n", "8:1", "two limits at once"),
        (FLEET + "[objective]\ncarbon_usd_per_t = 9\nusd = 1\n", "8:1", "weighs grams and dollars itself"),
        (FLEET.replace("[[", 'signal = "clean"\n[['), "4:1", "signal = 'clean'"),
        (FLEET.replace("[[", 'signal = "marginal"\n[['), "4:1", "has no marginal intensities"),
        (FLEET + "reserved = 2\n", "7:1", "reserved is no list of tables"),
        (FLEET + RESERVED + "hours = 1\n", "11:1", "unknown key hours"),
        (FLEET + RESERVED.replace("08:00", "8 am"), "8:1", "from = '8 am'"),
        (FLEET + RESERVED.replace("= 2", "= 5"), "10:1", "gpus = 5 in a region of 4"),
        (FLEET + RESERVED.replace("gpus = 2\n", ""), "7:1", "a reserved with no gpus"),
        (FLEET + RESERVED + "days = 'Mon-Fry'\n", "11:1", "days = 'Mon-Fry'"),
        (FLEET + RESERVED + "timezone = 'Mars'\n", "11:1", "timezone = 'Mars' is not known"),
        (FLEET + "[[region.maintenance]]\nfrom = '2022-03-01T00:00Z'\n", "7:1", "maintenance without to"),
        (FLEET + MAINTENANCE.replace("03:00", "00:30"), "9:1", "to lies not after from"),
        (FLEET + MAINTENANCE.replace("00Z'\n", "00'\n", 1), "8:1", "has no time zone"),
        (FLEET + "[transfer]\nwh_per_gb = 5\n", "7:1", "[transfer] needs gb_per_s above 0"),
        (FLEET + "[[budget]]\nkwh = 5\n", "7:1", "a budget needs a tenant"),
        (FLEET + "[[budget]]\ntenant = 'vision'\n", "7:1", "the budget of vision limits nothing"),
        (FLEET + "[[budget]]\ntenant = 'vision'\nkwh = -1\n", "9:1", "kwh = -1"),
        (FLEET + "[[budget]]\ntenant = 'vision'\nkwh = 1\nper = 'year'\n", "10:1", "per = 'year'"),
        (FLEET + "[[budget]]\ntenant = 'vision'\nusd = 1\n", "4:1", "dollars count and DE has no price"),
        (FLEET + "budget = 5\n", "7:1", "unknown key budget"),
        (FLEET + "[price]\n", "7:1", "[price] names no trace"),
        (FLEET + "price_zone = 'PL'\n[price]\ntrace = 'prices.csv'\n", "7:1", "the prices have no zone PL"),
    ],
)
def test_a_mistake_in_a_fleet_is_pointed_at(tmp_path: Path, text: str, place: str, what: str) -> None:
    path = fleet_path(tmp_path, text)
    with pytest.raises(UsageProblem) as problem:
        read_fleet(path)
    assert f"{path}:{place}: " in problem.value.what
    assert what in problem.value.what


def test_a_job_has_the_power_of_all_its_gpus(tmp_path: Path) -> None:
    (job,) = read_jobs(jobs_path(tmp_path, HEADER + LINE))
    assert (job.id, job.gpus, job.power_w, job.duration_s) == ("night", 2, 600.0, 3600.0)
    assert (job.interruption, job.regions) == (None, ("DE", "FR"))
    assert job.deadline_at_s - job.earliest_start_at_s == 6 * 3600.0


def test_a_job_that_may_pause_may_have_a_shortest_run(tmp_path: Path) -> None:
    header, line = HEADER.replace("\n", ",min_run_s\n"), LINE.replace(",0,DE;FR\n", ",1,DE;FR,1800\n")
    (job,) = read_jobs(jobs_path(tmp_path, header + line))
    assert job.interruption is not None
    assert job.interruption.min_run_s == 1800.0
    with pytest.raises(UsageProblem, match="min_run_s"):
        read_jobs(jobs_path(tmp_path, header + line.replace(",1,DE", ",0,DE")))


def test_the_last_two_columns_may_be_left_out(tmp_path: Path) -> None:
    header, line = (",".join(text.split(",")[:6]) + "\n" for text in (HEADER, LINE))
    (job,) = read_jobs(jobs_path(tmp_path, header + line))
    assert (job.interruption, job.regions) == (None, ())


def test_a_tenant_has_a_budget_of_each_thing_that_is_limited(tmp_path: Path) -> None:
    text = FLEET + "[[budget]]\ntenant = 'vision'\nkwh = 5\ngco2e = 900\nper = 'month'\n"
    assert read_fleet(fleet_path(tmp_path, text)).budgets == (
        Budget(tenant="vision", what=Spent.GCO2E, most_cost=900.0, per=Per.MONTH),
        Budget(tenant="vision", what=Spent.KWH, most_cost=5.0, per=Per.MONTH),
    )


LONG_HEADER = HEADER.replace("\n", ",tenant,priority,after\n")


def long_line(name: str, after: str = "", priority: str = "") -> str:
    return LINE.replace("night", name).replace("\n", f",vision,{priority},{after}\n")


def test_jobs_name_their_tenant_their_priority_and_the_jobs_before_them(tmp_path: Path) -> None:
    text = LONG_HEADER + long_line("a", priority="-2") + long_line("b", after="a") + long_line("c", after="a; b")
    found = read_jobs_file(jobs_path(tmp_path, text))
    assert [(job.tenant, job.priority) for job in found.jobs] == [("vision", -2), ("vision", 0), ("vision", 0)]
    assert found.after == {"b": ("a",), "c": ("a", "b")}


@pytest.mark.parametrize(
    ("lines", "place", "what"),
    [
        (long_line("a", after="b"), "2:66", "after: there is no job b"),
        (long_line("a", priority="high"), "2:65", "'high' is not a whole number"),
        (long_line("a", after="a"), "2:66", "jobs wait for each other: a (line 2) after a (line 2)"),
        (
            long_line("a", after="b") + long_line("b", after="c") + long_line("c", after="a"),
            "2:66",
            "a (line 2) after b (line 3) after c (line 4) after a (line 2)",
        ),
    ],
)
def test_a_mistake_in_the_order_of_jobs_is_pointed_at(tmp_path: Path, lines: str, place: str, what: str) -> None:
    path = jobs_path(tmp_path, LONG_HEADER + lines)
    with pytest.raises(UsageProblem) as problem:
        read_jobs_file(path)
    assert f"{path}:{place}: " in problem.value.what
    assert what in problem.value.what


def test_a_job_says_where_its_data_lies_and_how_long_it_warms_up(tmp_path: Path) -> None:
    header = HEADER.replace("\n", ",cold_start_s,data_region,data_gb\n")
    text = header + LINE.replace("\n", ",60,DE,250\n") + LINE.replace("night", "day").replace("\n", ",,,\n")
    found = read_jobs_file(jobs_path(tmp_path, text))
    assert [job.duration_s for job in found.jobs] == [3660.0, 3600.0]
    assert found.data == {"night": Data(region="DE", size_gb=250.0)}
    with pytest.raises(UsageProblem, match="2:65: data_region: data_region and data_gb go together"):
        read_jobs_file(jobs_path(tmp_path, header + LINE.replace("\n", ",60,,250\n")))


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (HEADER.replace(",", ";"), "put commas between the cells in place of ';'"),
        (HEADER.replace("gpus,", "GPUs,"), "write gpus in place of GPUs"),
        (HEADER.replace("gpus,", ""), "it needs job_id, "),
    ],
)
def test_a_header_without_a_needed_column_tells_what_to_write(tmp_path: Path, header: str, hint: str) -> None:
    with pytest.raises(UsageProblem) as problem:
        read_jobs(jobs_path(tmp_path, header + LINE))
    assert problem.value.hint.startswith(hint)


def test_a_link_between_regions_is_read_in_kilowatt_hours(tmp_path: Path) -> None:
    text = FLEET + "[transfer]\ngb_per_s = 0.5\nwh_per_gb = 60\nusd_per_gb = 0.02\n"
    assert read_fleet(fleet_path(tmp_path, text)).link == Link(gb_per_s=0.5, kwh_per_gb=0.06, usd_per_gb=0.02)
    assert read_fleet(fleet_path(tmp_path, FLEET)).link is None


def test_a_column_that_is_not_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_jobs(jobs_path(tmp_path, HEADER.replace("\n", ",region\n") + LINE.replace("\n", ",DE\n")))
    assert "jobs.csv:1:87: column region is not read (did you mean regions?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", "1:1", "is empty"),
        (HEADER.replace("gpus,", ""), "1:1", "no column gpus"),
        (HEADER + LINE + LINE, "3:1", "job night is there twice"),
        (HEADER + LINE.replace("06:00Z", "06:00"), "2:25", "has no time zone"),
        (HEADER + LINE.replace("2022-03-01T06", "2022-02-01T06"), "2:25", "lies not after earliest_start"),
        (HEADER + LINE.replace("3600", "nan"), "2:43", "'nan' is not a number of seconds from 0.01"),
        (HEADER + LINE.replace("3600", "1e300"), "2:43", "'1e300' is not a number of seconds from 0.01 to 315360000"),
        (HEADER + LINE.replace("3600", "1e-9"), "2:43", "'1e-9' is not a number of seconds from 0.01"),
        (HEADER + LINE.replace(",300,", ",1e308,"), "2:50", "'1e308' is not a number of watts from 0 to 1000000"),
        (HEADER + LINE.replace(",2,300", ",1e30,300"), "2:48", "'1e30' is not a whole number from 1 to 1000000"),
        (HEADER + LINE.replace("2022-03-01T00:00Z", "0001-01-01T00:00+12:00"), "2:7", "is far from any grid"),
        (HEADER + LINE.replace("night", "ni\x1b[31mght"), "2:1", "holds a sign that cannot be printed"),
        (HEADER + LINE.replace("2022-03-01T06", "2022-03-01T00"), "2:25", "lies not after earliest_start"),
        (HEADER + LINE.replace(",2,300", ",1.5,300"), "2:48", "'1.5' is not a whole number from 1"),
        (HEADER + LINE.replace(",300,", ",-300,"), "2:50", "'-300' is not a number of watts from 0"),
        (HEADER + LINE.replace(",0,", ",yes,"), "2:54", "'yes' is not 0 or 1"),
        (HEADER + LINE.replace(",DE;FR", ""), "2:56", "7 cells under 8 columns"),
        (HEADER + LINE.replace("night", ""), "2:1", "is empty"),
        (HEADER + LINE.replace("night", '"night'), "2:1", "a quote that is opened in this line is not closed"),
        (HEADER + LINE + LINE.replace("night", "n" * 200_000), "3:1", "is no CSV: field larger than field limit"),
    ],
)
def test_a_mistake_in_a_file_of_jobs_is_pointed_at(tmp_path: Path, text: str, place: str, what: str) -> None:
    path = jobs_path(tmp_path, text)
    with pytest.raises(UsageProblem) as problem:
        read_jobs(path)
    assert f"{path}:{place}: " in problem.value.what
    assert what in problem.value.what
