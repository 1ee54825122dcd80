"""`slacktide plan --jobs --fleet` from outside: the plan as JSON, checked by hand and against its own numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

HEADER = "job_id,earliest_start,finish_by,duration_s,gpus,power_w_per_gpu,interruptible,regions\n"
FLEET = (
    '[carbon]\ntrace = "grid.csv"\n[[region]]\nzone = "DE"\ngpus = 2\npue = 1.5\n[[region]]\nzone = "FR"\ngpus = 1\n'
)
# Six hours from midnight.
GRID = {"DE": (500, 400, 100, 200, 450, 300), "FR": (250, 250, 250, 250, 250, 250)}


def line(name: str, *, hours: float = 1, gpus: int = 1, pauses: int = 0, regions: str = "", by: str = "06:00") -> str:
    return f"{name},2022-03-01T00:00Z,2022-03-01T{by}Z,{hours * 3600},{gpus},1000,{pauses},{regions}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"2022-03-01T{hour:02}:00Z,{zone},{value}" for zone in GRID for hour, value in enumerate(GRID[zone])]
    (tmp_path / "grid.csv").write_text("timestamp,zone,gco2e_per_kwh\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "fleet.toml").write_text(FLEET, encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slacktide.main", "plan", *arguments]
    files = ["--jobs", str(folder / "jobs.csv"), "--fleet", str(folder / "fleet.toml")]
    return subprocess.run([*command, *files], capture_output=True, text=True, timeout=180, check=False)


def answer(folder: Path, *lines: str) -> dict[str, Any]:
    (folder / "jobs.csv").write_text(HEADER + "".join(lines), encoding="utf-8")
    done = run(folder, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def by_hand(segment: dict[str, Any], power_kw: float) -> float:
    """Emissions of a segment, minute by minute."""
    start, end = (datetime.fromisoformat(segment[name]) for name in ("start", "end"))
    first, last = (one.hour * 60 + one.minute for one in (start, end))
    pue = 1.5 if segment["zone"] == "DE" else 1.0
    return sum(power_kw * pue * GRID[segment["zone"]][minute // 60] / 60 for minute in range(first, last))


def test_two_jobs_share_the_clean_hour_and_the_third_goes_where_it_is_next_best(folder: Path) -> None:
    found = answer(folder, line("a"), line("b"), line("c"))
    proved = {"emissions_gco2e", "lower_bound_gco2e", "gap_ratio", "fewest_refused"}
    assert set(found) == {"jobs", *proved, "run_now", "notes", "objective"}
    starts = sorted((one["segments"][0]["zone"], one["segments"][0]["start"]) for one in found["jobs"])
    clean = ("DE", "2022-03-01T02:00:00Z")
    assert starts[:2] == [clean, clean]
    assert starts[2][0] == "FR"
    assert found["emissions_gco2e"] == pytest.approx(150 + 150 + 250)
    assert found["lower_bound_gco2e"] <= 550
    assert found["gap_ratio"] == pytest.approx(0, abs=0.01)
    # At once: two in DE at 500 * 1.5, one in FR at 250.
    assert found["run_now"] == {"emissions_gco2e": pytest.approx(750 + 750 + 250), "late": 0}


def test_a_planned_job_has_the_fields_of_the_contract(folder: Path) -> None:
    (job,) = answer(folder, line("a", hours=1.5, gpus=2, pauses=1, regions="DE"))["jobs"]
    assert (job["job_id"], job["status"], job["reason"]) == ("a", "planned", "cleanest")
    assert {(one["zone"], one["gpus"]) for one in job["segments"]} == {("DE", 2)}
    assert job["emissions_gco2e"] == pytest.approx(sum(by_hand(one, 2.0) for one in job["segments"]))
    assert job["emissions_gco2e"] == pytest.approx(2 * 1.5 * (100 + 200 / 2))


def test_how_many_are_refused_in_any_plan_is_said_in_words(folder: Path) -> None:
    jobs = (line(name, hours=6, regions="FR") for name in ("first", "second"))
    (folder / "jobs.csv").write_text(HEADER + "".join(jobs), encoding="utf-8")
    assert "1 refused; at least 1 cannot be in time in any plan" in run(folder).stdout


def test_jobs_that_cannot_run_are_refused_with_a_reason(folder: Path) -> None:
    found = answer(
        folder,
        line("wide", gpus=3),
        line("elsewhere", regions="PL"),
        line("long", hours=3, by="02:00"),
        line("first", hours=6, regions="FR"),
        line("second", hours=6, regions="FR"),
    )
    jobs = {one["job_id"]: one for one in found["jobs"]}
    assert "needs 3 GPUs at once, the largest allowed region has 2" in jobs["wide"]["reason"]
    assert "has none of PL" in jobs["elsewhere"]["reason"]
    assert "finish by 2022-03-01T03:00Z instead of 2022-03-01T02:00Z" in jobs["long"]["reason"]
    assert "use 2 GPUs instead of 3 (for 1 h 30 min instead of 1 h)" in jobs["wide"]["reason"]
    assert jobs["elsewhere"]["suggestions"][0]["changes"] == [
        {"field": "regions", "value": "PL;DE", "instead_of": "PL"}
    ]
    refused = [jobs[name] for name in ("first", "second") if jobs[name]["status"] == "refused"]
    assert len(refused) == 1
    assert found["fewest_refused"] == 4
    # At 12:00 there would be room, but the trace ends at 06:00: what nobody can plan is not suggested.
    assert [one["text"] for one in refused[0]["suggestions"]] == ["allow DE"]
    assert all(one["segments"] == [] for one in jobs.values() if one["status"] == "refused")
    assert found["run_now"]["late"] == 4


def test_a_suggestion_taken_up_makes_the_job_planned(folder: Path) -> None:
    others = [line("first", regions="FR", by="02:00"), line("second", regions="FR", by="02:00")]
    found = answer(folder, *others, line("third", hours=2, regions="FR", by="03:00"))
    assert [one["status"] for one in found["jobs"]] == ["planned", "planned", "refused"]
    (later,) = found["jobs"][2]["suggestions"][0]["changes"]
    assert (later["field"], later["value"]) == ("finish_by", "2022-03-01T04:00:00Z")
    again = answer(folder, *others, line("third", hours=2, regions="FR", by="04:00"))
    assert [one["status"] for one in again["jobs"]] == ["planned"] * 3


def test_every_planned_job_is_explained(folder: Path) -> None:
    (job,) = answer(folder, line("a", by="02:00", regions="DE"))["jobs"]
    explanation = job["explanation"]
    # The hour at 400 is the best of the first two; at 02:00 the grid falls to 100, in France it is 250 without PUE.
    assert (explanation["start"], explanation["regions"]) == ("2022-03-01T01:00:00Z", ["DE"])
    assert explanation["saves_gco2e"] == pytest.approx((500 - 400) * 1.5)
    assert explanation["binds"] == "deadline"
    assert {one["limit"]: one["saves_gco2e"] for one in explanation["limits"]} == {
        "deadline": pytest.approx((400 - 100) * 1.5),
        "regions": pytest.approx(400 * 1.5 - 250),
    }
    assert explanation["next_best"]["emissions_gco2e"] == pytest.approx(750)
    assert explanation["forecasts"][0]["feed"] == "grid.csv"


def test_the_plan_itself_says_that_the_trace_ends_before_the_jobs(folder: Path) -> None:
    assert answer(folder, line("a"))["notes"] == []
    (note,) = answer(folder, line("a", by="08:00"))["notes"]
    assert note.startswith(
        "the trace ends at 2022-03-01T06:00:00Z in DE, before the last finish_by; nothing is planned"
    )


def test_a_region_that_the_fleet_lacks_is_noted_where_the_job_has_others(folder: Path) -> None:
    (folder / "jobs.csv").write_text(HEADER + line("a", regions="FX;FR") + line("b", regions="FX;DE"), encoding="utf-8")
    done = run(folder)
    assert done.stderr.count("note: ") == 1
    assert "jobs.csv:2:53: regions: the fleet has no FX; the others are used" in done.stderr.replace("\n", "")


def test_columns_without_a_name_are_nobodys(folder: Path) -> None:
    (folder / "jobs.csv").write_text((HEADER + line("a")).replace("\n", ",,\n"), encoding="utf-8")
    done = run(folder)
    assert (done.returncode, done.stderr) == (0, "")


def test_people_are_told_why_one_job_is_where_it_is(folder: Path) -> None:
    (folder / "jobs.csv").write_text(HEADER + line("a", by="02:00") + line("b", gpus=3), encoding="utf-8")
    done = run(folder, "--explain", "a", "--explain", "b")
    assert "held by" in done.stdout
    assert "b is refused: gpus: needs 3 GPUs at once" in done.stdout
    unknown = run(folder, "--explain", "c")
    assert (unknown.returncode, unknown.stderr.splitlines()[0]) == (2, "slacktide: --explain: no job c in the file")


def test_a_page_needs_nothing_from_outside(folder: Path) -> None:
    (folder / "jobs.csv").write_text(HEADER + line("<a>", by="02:00") + line("b", gpus=3), encoding="utf-8")
    done = run(folder, "--html", str(folder / "plan.html"))
    assert done.returncode == 0, done.stderr
    page = (folder / "plan.html").read_text(encoding="utf-8")
    assert "&lt;a&gt;" in page and "<a>" not in page
    assert "1 refused" in page
    outside = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not any(sign in outside for sign in ("http:", "https:", "<script", "@import", "url("))


def test_a_power_cap_holds(folder: Path) -> None:
    (folder / "fleet.toml").write_text(FLEET.replace("pue = 1.5\n", "pue = 1.5\npower_cap_kw = 1.5\n"))
    found = answer(folder, line("a", regions="DE"), line("b", regions="DE"))
    assert len({one["segments"][0]["start"] for one in found["jobs"]}) == 2
    assert found["emissions_gco2e"] == pytest.approx(150 + 300)


def test_an_objective_is_kept_and_its_components_are_summed(folder: Path) -> None:
    prices = [f"2022-03-01T{hour:02}:00Z,DE,{value}" for hour, value in enumerate((100, 100, 400, 100, -50, 100))]
    (folder / "prices.csv").write_text("timestamp,zone,price_usd_per_mwh\n" + "\n".join(prices) + "\n")
    extra = 'wue_l_per_kwh = 0.36\n[price]\ntrace = "prices.csv"\n[objective]\nusd = 1\n'
    only_de = FLEET.split('[[region]]\nzone = "FR"')[0]
    (folder / "fleet.toml").write_text(only_de + extra, encoding="utf-8")
    found = answer(folder, line("a"))
    assert found["jobs"][0]["segments"][0]["start"] == "2022-03-01T04:00:00Z"
    objective = found["objective"]
    assert (objective["unit"], objective["signal"]) == ("USD", "average")
    assert objective["value"] == pytest.approx(1.5 * -0.05)
    assert objective["lower_bound"] == pytest.approx(1.5 * -0.05)
    parts = objective["components"]
    assert (parts["usd"], parts["water_l"], parts["gco2e"]) == pytest.approx((-0.075, 0.36, 675))
    # What the plan emits, and the least that is possible, are grams whatever the plan was chosen by.
    assert found["emissions_gco2e"] == pytest.approx(675)
    assert found["lower_bound_gco2e"] == pytest.approx(150)
    (folder / "fleet.toml").write_text((only_de + extra).replace("usd = 1", "at_most_usd = -1"), encoding="utf-8")
    beyond = run(folder)
    assert beyond.returncode == 2
    assert "no plan of these jobs can keep at_most_usd = -1: the least found is -0.075" in beyond.stderr


def test_data_moves_only_over_a_link_that_the_fleet_has(folder: Path) -> None:
    header = HEADER.replace("\n", ",data_region,data_gb\n")
    (folder / "jobs.csv").write_text(header + line("a").replace("\n", ",FR,100\n"), encoding="utf-8")
    assert "2:57: data_gb: the fleet has no [transfer]" in run(folder).stderr
    link = "[transfer]\ngb_per_s = 0.01\nwh_per_gb = 5\n"
    (folder / "fleet.toml").write_text(FLEET.replace("[[region]]", link + "[[region]]", 1), encoding="utf-8")
    done = run(folder, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # Nearly three hours under way: the clean hour in DE is over, and 200 g there is 300 g with its PUE.
    assert {one["zone"] for one in found["jobs"][0]["segments"]} == {"FR"}
    assert found["objective"]["components"]["transfer_gco2e"] == 0
    fast = link.replace("0.01", "1").replace("= 5", "= 0.5")
    (folder / "fleet.toml").write_text(FLEET.replace("[[region]]", fast + "[[region]]", 1), encoding="utf-8")
    moved = json.loads(run(folder, "--json").stdout)
    assert {one["zone"] for one in moved["jobs"][0]["segments"]} == {"DE"}
    # 0.05 kWh at 250 g.
    assert moved["objective"]["components"]["transfer_gco2e"] == pytest.approx(12.5)
    assert moved["emissions_gco2e"] == pytest.approx(150)


def test_order_and_budgets_are_kept(folder: Path) -> None:
    budget = '[[budget]]\ntenant = "vision"\nkwh = 3.5\n'
    (folder / "fleet.toml").write_text(FLEET + budget, encoding="utf-8")
    header = HEADER.replace("\n", ",tenant,after\n")
    rows = [
        line("train", regions="DE").replace("\n", ",vision,\n"),
        line("test", regions="DE").replace("\n", ",vision,train\n"),
        line("extra", regions="DE").replace("\n", ",vision,\n"),
    ]
    (folder / "jobs.csv").write_text(header + "".join(rows), encoding="utf-8")
    done = run(folder, "--json")
    assert done.returncode == 0, done.stderr
    train, test, extra = json.loads(done.stdout)["jobs"]
    # In order: 100 g and then 200 g. The third would be 4.5 of 3.5 kWh.
    assert [one["segments"][0]["start"][11:13] for one in (train, test)] == ["02", "03"]
    assert extra["status"] == "refused"
    assert extra["reason"].startswith(
        "budget: needs 1.5 kwh in 2022-03-01, where vision has spent 3 of 3.5: 1 too much"
    )


def test_the_same_files_give_the_same_plan(folder: Path) -> None:
    lines = [line(f"job-{number}", hours=1 + number % 3, pauses=number % 2, by="06:00") for number in range(6)]
    assert answer(folder, *lines) == answer(folder, *lines)


def test_people_get_a_table_and_a_verdict(folder: Path) -> None:
    (folder / "jobs.csv").write_text(HEADER + line("a") + line("wide", gpus=3), encoding="utf-8")
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 jobs planned: 150 gCO2e" in done.stdout
    assert "refused" in done.stdout


def test_half_a_question_and_a_broken_file_end_in_two_lines(folder: Path) -> None:
    (folder / "jobs.csv").write_text(HEADER + line("a").replace("1000", "much"), encoding="utf-8")
    broken = run(folder)
    assert (broken.returncode, broken.stdout) == (2, "")
    assert "jobs.csv:2:46: power_w_per_gpu: 'much' is not a number of watts from 0" in broken.stderr
    command = [sys.executable, "-m", "slacktide.main", "plan", "--jobs", str(folder / "jobs.csv")]
    half = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert (half.returncode, half.stderr.splitlines()[0]) == (2, "slacktide: --jobs needs --fleet")


def test_an_empty_file_of_jobs_is_an_empty_plan(folder: Path) -> None:
    found = answer(folder)
    assert (found["jobs"], found["emissions_gco2e"], found["gap_ratio"]) == ([], 0, 0)


POOL = """
[[pool]]
name = "embeddings"
tokens = 900000
earliest_start = "2022-03-01T00:00Z"
finish_by = "2022-03-01T06:00Z"
tokens_per_s_per_gpu = 100
power_w_per_gpu = 1000
"""


def test_a_pool_of_tokens_fills_what_the_jobs_leave(folder: Path) -> None:
    (folder / "fleet.toml").write_text(FLEET + POOL, encoding="utf-8")
    found = answer(folder, line("a"))
    (pool,) = found["pools"]
    assert (pool["pool"], pool["status"], pool["short_tokens"]) == ("embeddings", "planned", 0)
    # Two and a half GPU-hours: the clean hour in DE beside the job, and where a GPU-hour is 250 g.
    assert sum(one["tokens"] for one in pool["segments"]) == pytest.approx(900_000)
    assert pool["emissions_gco2e"] == pytest.approx(150 + 1.5 * 250)
    assert pool["emissions_gco2e"] == pytest.approx(sum(by_hand(one, one["gpus"]) for one in pool["segments"]))
    assert found["emissions_gco2e"] == pytest.approx(150 + 150 + 1.5 * 250)
    assert found["gap_ratio"] == pytest.approx(0, abs=1e-6)
    # At once: job and pool in DE at 750, the pool in FR beside it, and a quarter of an hour more of three GPUs.
    assert found["run_now"] == {"emissions_gco2e": pytest.approx(750 + 750 + 250 + (2 * 600 + 250) / 6), "late": 0}
    assert found["objective"]["components"]["energy_kwh"] == pytest.approx(1.5 + 1.5 + 1.5)


def test_a_pool_that_is_short_says_what_would_help(folder: Path) -> None:
    short = POOL.replace("T06:00Z", "T01:00Z").replace("tokens =", 'zones = ["FR"]\ntokens =')
    (folder / "fleet.toml").write_text(FLEET + short, encoding="utf-8")
    (pool,) = answer(folder)["pools"]
    assert (pool["status"], round(pool["short_tokens"])) == ("partly", 540_000)
    assert [one["changes"][0]["field"] for one in pool["suggestions"]] == ["finish_by", "zones", "tokens"]
    assert pool["suggestions"][0]["text"] == "finish by 2022-03-01T02:30:00Z instead of 2022-03-01T01:00:00Z"
    done = run(folder)
    assert "0 of 1 pools planned" in done.stdout
    assert "embeddings is short: deadline: the whole fleet makes 360,000 of 900,000 tokens" in done.stdout


def test_a_pool_by_its_model_and_mistakes_in_it(folder: Path) -> None:
    by_model = POOL.replace("tokens_per_s_per_gpu = 100\npower_w_per_gpu = 1000", 'model = "llama-3.1-8b"')
    (folder / "jobs.csv").write_text(HEADER, encoding="utf-8")
    (folder / "fleet.toml").write_text(FLEET + by_model, encoding="utf-8")
    assert "what a GPU in DE makes of the pool is not known" in run(folder).stderr
    (folder / "fleet.toml").write_text(FLEET.replace("pue = 1.5", 'pue = 1.5\ngpu = "h100-sxm"') + by_model)
    assert "what a GPU in FR makes" in run(folder).stderr
    only_de = by_model.replace("tokens =", 'zones = ["DE"]\ntokens =')
    (folder / "fleet.toml").write_text(FLEET.replace("pue = 1.5", 'pue = 1.5\ngpu = "h100-sxm"') + only_de)
    assert answer(folder)["pools"][0]["status"] == "planned"
    for wrong, said in (
        (POOL.replace("900000", "0"), "pool embeddings asks for no tokens"),
        (POOL.replace('finish_by = "2022-03-01T06:00Z"', ""), "a pool without finish_by"),
        (POOL + POOL, "pool embeddings is there twice"),
        (POOL + "[objective]\nwaiting_kwh_h = 1\nat_most_kgco2e = 1\n", "pools are in no limit of [objective]"),
        (POOL + 'zones = ["PL"]\n', "the fleet has no zone PL"),
        (POOL.replace("power_w_per_gpu = 1000", ""), "go together"),
    ):
        (folder / "fleet.toml").write_text(FLEET + wrong)
        done = run(folder)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
