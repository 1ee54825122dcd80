from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from simulations.feed_server import uk_carbon
from simulations.feed_server.routes import Handler, routes
from tests.unit.simulations.feed_server.views import a_series, a_view, refused


def asked(handler: Handler, holding: frozenset[str] = frozenset(), **parts: str) -> Any:
    query = {("from" if name == "from_" else name): value for name, value in parts.items()}
    return handler(a_view(holding=holding), query).payload["data"]


def test_the_running_slot_has_no_outturn_yet() -> None:
    assert asked(uk_carbon.intensity) == [
        {
            "from": "2022-03-10T12:30Z",
            "to": "2022-03-10T13:00Z",
            "intensity": {"forecast": 212, "actual": None, "index": "moderate"},
        }
    ]


def test_the_last_complete_slot_stands_for_the_running_one_where_asked_to() -> None:
    (slot,) = asked(uk_carbon.intensity, frozenset({"last_complete_slot"}))
    assert slot["from"] == "2022-03-10T12:00Z"


def test_an_outturn_appears_half_an_hour_after_the_slot() -> None:
    slots = asked(uk_carbon.intensity_range, from_="2022-03-10T11:01Z", to="2022-03-10T13:31Z")
    assert [slot["intensity"]["actual"] for slot in slots] == [211, 211, None, None, None, None]


def test_a_range_from_a_half_hour_brings_the_slot_before_too() -> None:
    exact = asked(uk_carbon.intensity_range, from_="2022-03-09T10:00Z", to="2022-03-09T10:31Z")
    after = asked(uk_carbon.intensity_range, from_="2022-03-09T10:01Z", to="2022-03-09T10:31Z")
    assert [slot["from"][11:16] for slot in exact] == ["09:30", "10:00", "10:30"]
    assert [slot["from"][11:16] for slot in after] == ["10:00", "10:30"]


def test_the_forecast_ends_after_48_hours() -> None:
    slots = asked(uk_carbon.intensity_range, from_="2022-03-12T11:01Z", to="2022-03-14T00:00Z")
    assert slots[-1]["to"] == "2022-03-12T13:00Z"


def test_a_day_has_48_half_hours() -> None:
    assert len(asked(uk_carbon.intensity_date, date="2022-03-08")) == 48
    (slot,) = asked(uk_carbon.intensity_date, date="2022-03-08", period="3")
    assert slot["from"] == "2022-03-08T01:00Z"


def test_statistics_are_of_the_range_or_of_its_blocks() -> None:
    (whole,) = asked(uk_carbon.statistics, from_="2022-03-08T00:00Z", to="2022-03-09T00:00Z")
    assert whole["intensity"] == {"max": 223, "average": 212, "min": 200, "index": "moderate"}
    blocks = asked(uk_carbon.statistics, from_="2022-03-08T00:00Z", to="2022-03-09T00:00Z", block="12")
    assert [block["intensity"]["min"] for block in blocks] == [200, 212]


def test_one_region_now_is_a_list_and_ahead_an_object() -> None:
    (now,) = asked(uk_carbon.regional_one, postcode="SW1")
    ahead = asked(uk_carbon.regional_range, from_="2022-03-10T12:31Z", to="fw24h", postcode="sw1")
    assert (now["regionid"], now["dnoregion"], now["postcode"]) == (13, "UKPN London", "SW1")
    assert ahead["postcode"] == "SW1"
    assert len(ahead["data"]) == 49
    assert "actual" not in ahead["data"][0]["intensity"]


def test_a_region_by_number_has_no_postcode() -> None:
    (region,) = asked(uk_carbon.regional_one, regionid="16")
    assert region["shortname"] == "Scotland"
    assert "postcode" not in region


def test_all_regions_stand_in_one_entry_a_slot() -> None:
    entries = asked(uk_carbon.regional_range, from_="2022-03-10T12:31Z", to="2022-03-10T13:31Z")
    assert [entry["from"][11:16] for entry in entries] == ["12:30", "13:00", "13:30"]
    assert [len(entry["regions"]) for entry in entries] == [17, 17, 17]


def test_a_zone_can_stand_behind_a_region() -> None:
    view = replace(a_view(), gb_zones={13: "DE"})
    now = uk_carbon.regional_one(view, {"regionid": "13"}).payload["data"][0]
    assert now["data"][0]["intensity"]["forecast"] == 312


@pytest.mark.parametrize(
    ("handler", "query"),
    [
        (uk_carbon.regional_one, {"postcode": "X"}),
        (uk_carbon.regional_one, {"postcode": "QQ9"}),
        (uk_carbon.regional_one, {"regionid": "18"}),
        (uk_carbon.intensity_date, {"date": "2022-03-08", "period": "49"}),
        (uk_carbon.intensity_range, {"from": "2022-03-08T00:00Z", "to": "2022-03-23T00:00Z"}),
        (uk_carbon.intensity_range, {"from": "2022-03-08T00:00Z", "to": "2022-03-07T00:00Z"}),
        (uk_carbon.intensity_at, {"from": "now"}),
    ],
)
def test_a_malformed_question_is_refused(handler: Handler, query: dict[str, str]) -> None:
    reply = refused(handler, a_view(), query)
    assert reply.status == 400
    assert reply.payload["error"]["code"] == "400 Bad Request"


def test_a_wrong_postcode_is_told_with_the_word_that_clients_look_for() -> None:
    assert "postcode" in refused(uk_carbon.regional_one, a_view(), {"postcode": "QQ9"}).payload["error"]["message"]


def test_a_trace_without_great_britain_says_what_to_do() -> None:
    reply = refused(uk_carbon.intensity, a_view(a_series("DE")), {})
    assert reply.status == 500
    assert "map one onto GB" in reply.payload["error"]["message"]


def test_every_path_answers() -> None:
    parts = {"from": "2022-03-09T00:01Z", "to": "pt24h", "date": "2022-03-08", "period": "1", "block": "2"}
    parts |= {"postcode": "RG41", "regionid": "1"}
    paths = [route for route in routes() if route.service == "uk_carbon"]
    for route in paths:
        query = {name: value for name, value in parts.items() if f"{{{name}}}" in route.path} | dict(route.fixed)
        assert route.handler(a_view(), query).payload["data"], route.path
