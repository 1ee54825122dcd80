"""Whatever a service sends, a parser answers with a plausible series or with an error of the feeds' own tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intensity_feeds import electricity_maps, uk_carbon, watttime
from intensity_feeds.answers import MOST_GCO2E_PER_KWH
from intensity_feeds.calls import Reply, decoded
from intensity_feeds.feed import FeedError
from intensity_feeds.series import Basis, IntensitySeries
from tests.unit.intensity_feeds.builders import (
    MIDNIGHT_S,
    a_watttime_answer,
    an_electricity_maps_forecast,
    an_electricity_maps_range,
    uk_slots,
)

pytestmark = pytest.mark.slow

Parser = Callable[[Any], IntensitySeries]

PARSERS: dict[str, tuple[Parser, Any]] = {
    "electricity_maps forecast": (
        lambda payload: electricity_maps.parse_forecast(
            payload, "DK-DK2", issued_at_s=0.0, emission_factor_type=Basis.LIFECYCLE
        ),
        an_electricity_maps_forecast([1, None, 3, 4]),
    ),
    "electricity_maps history": (
        lambda payload: electricity_maps.parse_history([payload], "DK-DK2", emission_factor_type=Basis.LIFECYCLE),
        an_electricity_maps_range([1, 2, 3]),
    ),
    "watttime": (
        lambda payload: watttime.parse_forecast(payload, "CAISO_NORTH", issued_at_s=0.0),
        a_watttime_answer([1, None, 3], generated_at="2022-03-01T00:00:00+00:00"),
    ),
    "uk_carbon": (
        lambda payload: uk_carbon.parse_forecast(payload, "GB", issued_at_s=0.0),
        {"data": uk_slots([(1, 2), (3, None)])},
    ),
    "uk_carbon region": (
        lambda payload: uk_carbon.parse_history([payload], "GB-13"),
        {"data": {"regionid": 13, "data": uk_slots([(1, None), (3, None)], start_at_s=MIDNIGHT_S, regional=True)}},
    ),
}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["2022-03-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "hourly", "DK-DK2"]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
)


@st.composite
def mutated(draw: st.DrawFn, payload: Any) -> Any:
    """The payload with one place in it replaced, removed or doubled."""
    copy = json.loads(json.dumps(payload))
    place: Any = copy
    where: list[tuple[Any, Any]] = []
    while isinstance(place, dict | list) and place and (not where or draw(st.integers(0, 3)) > 0):
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        where.append((place, key))
        place = place[key]
    parent, key = where[-1]
    match draw(st.sampled_from(["replace", "remove", "double"])):
        case "replace":
            parent[key] = draw(ANYTHING)
        case "remove":
            del parent[key]
        case _:
            if isinstance(parent, list):
                parent.append(parent[key])
    return copy


def assert_plausible_or_refused(parse: Parser, payload: Any) -> None:
    try:
        series = parse(payload)
    except FeedError:
        return
    values = series.gco2e_per_kwh[~np.isnan(series.gco2e_per_kwh)]
    assert len(values) > 0
    assert ((values >= 0) & (values <= MOST_GCO2E_PER_KWH)).all()
    assert np.isfinite(series.edges_at_s).all()


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_no_payload_brings_a_parser_down(name: str, data: st.DataObject) -> None:
    parse, good = PARSERS[name]
    assert_plausible_or_refused(parse, data.draw(st.one_of(mutated(good), ANYTHING)))


@given(st.binary(max_size=200), st.sampled_from([200, 400, 401, 403, 404, 422]))
def test_no_body_brings_the_reading_of_an_answer_down(body: bytes, status: int) -> None:
    reply = Reply(status=status, body=body.decode("utf-8", errors="replace"))
    assert "\n" not in reply.message()
    try:
        decoded(reply, "test", "DE")
    except FeedError as error:
        assert "HTTP" in str(error)
