"""What the status page's files may hold: nothing inline, nothing from elsewhere, no way for text to become markup."""

from __future__ import annotations

import re

import pytest

from intensity_feeds.series import IntensitySeries
from scheduler.daemon.dashboard.page import INDEX, packaged_files
from scheduler.daemon.dashboard.status import describe_points
from shaping.policy import ReleaseReason

FILES = {name: file.body.decode() for name, file in packaged_files().items()}
SCRIPTS = sorted(name for name in FILES if name.endswith(".js"))
HOUR_S = 3600.0


def test_the_page_holds_no_inline_script_style_or_handler() -> None:
    index = FILES[INDEX]
    assert "<style" not in index
    assert not re.search(r"\s(style|on\w+)\s*=", index)
    assert all(re.search(r'src="/page/[\w.]+"></script>', one) for one in re.findall(r"<script.*", index))


def test_everything_the_page_asks_for_comes_with_the_package() -> None:
    asked = re.findall(r'(?:src|href)="/page/([^"]+)"', FILES[INDEX])
    imported = [name for script in SCRIPTS for name in re.findall(r'from "\./([^"]+)"', FILES[script])]
    assert set(asked) | set(imported) == set(FILES) - {INDEX}


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_comes_from_another_server(name: str) -> None:
    addresses = set(re.findall(r"\bhttps?://[^\s\"')]+", FILES[name]))
    assert addresses <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_text_of_users_never_becomes_markup_or_code(name: str) -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc|javascript:"
    assert not re.findall(ways, FILES[name])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_key_is_kept_nowhere_in_the_browser(name: str) -> None:
    assert not re.findall(r"localStorage|sessionStorage|document\.cookie|indexedDB", FILES[name])


def test_points_are_cut_to_the_interval_and_a_gap_is_null() -> None:
    series = IntensitySeries.regular("DE", 0.0, HOUR_S, [100.0, float("nan"), 300.0])
    points = describe_points(series, 0.5 * HOUR_S, 2.25 * HOUR_S)
    assert [(one["start"][11:16], one["end"][11:16], one["gco2e_per_kwh"]) for one in points] == [
        ("00:30", "01:00", 100.0),
        ("01:00", "02:00", None),
        ("02:00", "02:15", 300.0),
    ]


@pytest.mark.parametrize(("since_hours", "until_hours"), [(-2, -1), (-1, 0), (3, 4), (5, 6)])
def test_a_series_says_nothing_of_an_interval_it_does_not_reach(since_hours: int, until_hours: int) -> None:
    series = IntensitySeries.regular("DE", 0.0, HOUR_S, [100.0, 200.0, 300.0])
    assert describe_points(series, since_hours * HOUR_S, until_hours * HOUR_S) == []


def test_the_page_has_words_for_every_reason_of_a_release() -> None:
    table = FILES["batching.js"].partition("const BECAUSE = {")[2].partition("};")[0]
    assert set(re.findall(r"(\w+): \"", table)) == {one.value for one in ReleaseReason}
