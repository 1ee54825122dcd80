"""A scenario file may stand on others: what it says itself goes before what they say, and mistakes name their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulations.scenario_file import ScenarioError, load_scenario

BASE = """\
name = "base"
start = "2022-03-01T00:00Z"
[grid]
trace = "grid.csv"
[[region]]
name = "plains"
zone = "SUNNY"
gpus = 4
[[jobs]]
name = "training"
slack_s = "36h"
trace = "../jobs.csv"
"""
ASKING = 'include = ["shared/base.toml"]\n'


def files(folder: Path, **texts: str) -> str:
    """Files `top.toml`, `middle.toml`, `shared/base.toml`, of which top is loaded."""
    (folder / "shared").mkdir()
    (folder / "shared" / "base.toml").write_text(texts.pop("base", BASE))
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    return str(folder / "top.toml")


def test_keys_are_merged_and_entries_of_one_name_too(tmp_path: Path) -> None:
    top = files(
        tmp_path,
        top='include = ["shared/base.toml"]\nname = "top"\n[[jobs]]\nname = "training"\nslack_s = "2h"\n'
        '[[jobs]]\nname = "tuning"\n[policy]\nreplan_s = "1h"\n',
    )
    scenario = load_scenario(top).scenario
    assert scenario.name == "top"
    assert [(jobs.name, jobs.slack_s) for jobs in scenario.jobs] == [("training", 7200.0), ("tuning", 86400.0)]
    assert scenario.region[0].gpus == 4


def test_paths_start_from_the_file_that_names_them(tmp_path: Path) -> None:
    top = files(tmp_path, top='include = ["shared/base.toml"]\n')
    loaded = load_scenario(top)
    assert loaded.path(loaded.scenario.grid.trace) == tmp_path / "shared" / "grid.csv"
    assert loaded.path(loaded.scenario.jobs[0].trace).resolve() == tmp_path / "jobs.csv"


def test_includes_may_include_and_the_later_goes_before_the_earlier(tmp_path: Path) -> None:
    top = files(
        tmp_path,
        top='include = ["middle.toml", "last.toml"]\n',
        middle='include = ["shared/base.toml"]\nseed = 5\ndescription = "middle"\n',
        last="seed = 6\n",
    )
    scenario = load_scenario(top).scenario
    assert (scenario.seed, scenario.description) == (6, "middle")


def test_a_packaged_scenario_can_be_included(tmp_path: Path) -> None:
    top = files(tmp_path, top='include = ["solar-week"]\nseed = 9\n')
    assert load_scenario(top).scenario.seed == 9
    assert load_scenario(top).scenario.region[0].name == "plains"


@pytest.mark.parametrize(
    ("texts", "source", "line", "words"),
    [
        ({"base": BASE.replace("gpus", "gpu")}, "shared/base.toml", 8, "unknown key 'region.gpu'"),
        (
            {"top": 'include = ["shared/base.toml"]\n[[jobs]]\nname = "training"\nlimit = 0'},
            "top.toml",
            4,
            "jobs.limit",
        ),
        ({"top": 'include = ["shared/base.toml"]\n[[jobs]]\nname = "new"\nlimit = 0'}, "top.toml", 4, "jobs.limit"),
        ({"base": BASE + "bad"}, "shared/base.toml", None, "is no TOML"),
        ({"top": 'seed = 1\ninclude = [\n"gone.toml"]'}, "top.toml", 3, "there is no file 'gone.toml'"),
        ({"top": 'include = "a.toml"'}, "top.toml", 1, "is no list of files"),
        ({"top": 'includ = ["a.toml"]'}, "top.toml", 1, "unknown key 'includ'"),
        (
            {"base": 'seed = 1\ninclude = ["../top.toml"]'},
            "shared/base.toml",
            2,
            "goes in a circle: top.toml -> base.toml -> top.toml",
        ),
    ],
)
def test_a_mistake_names_the_file_that_holds_it(
    tmp_path: Path, texts: dict[str, str], source: str, line: int | None, words: str
) -> None:
    top = files(tmp_path, **{"top": 'include = ["shared/base.toml"]\n', **texts})
    with pytest.raises(ScenarioError, match=words) as caught:
        load_scenario(top)
    assert (caught.value.source, caught.value.line) == (str(tmp_path / source), line)


def test_two_entries_of_one_name_in_one_file_are_still_refused(tmp_path: Path) -> None:
    twice = '[[jobs]]\nname = "training"\n' * 2
    top = files(tmp_path, top=f'include = ["shared/base.toml"]\n{twice}')
    with pytest.raises(ScenarioError, match="two entries share the workload name 'training'"):
        load_scenario(top)
