"""Whatever is asked, an emulated service answers or refuses; it does not break."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.feed_server import optimizer
from simulations.feed_server.faults import FAULT_TEXTS
from simulations.feed_server.replies import RefusedError
from simulations.feed_server.routes import Route, routes
from tests.unit.simulations.feed_server.views import a_view

ROUTES = routes()
INSTANTS = st.sampled_from(
    [
        "2022-03-09T00:00:00Z",
        "2022-03-10T12:40Z",
        "2022-03-10 12:00:00+00:00",
        "0001-01-01",
        "9999-12-31T23:59:59+00:00",
        "9999-12-31T23:59:59-12:00",
        "2022-13-01",
        "",
        "fw48h",
        "pt24h",
        "2022-03-10T00:00:00 00:00",
    ]
)
WORDS = st.sampled_from(
    ["DE", "GB", "XX", "UK", "co2_moer", "co2_aoer", "hourly", "daily", "5_minutes", "direct", "true"]
)
NUMBERS = st.sampled_from(["0", "1", "17", "24", "48", "72", "-1", "1e9", "nan", "inf", "²", "9" * 30, "1.5"])
VALUES = st.one_of(INSTANTS, WORDS, NUMBERS, st.text(max_size=6))
NAMES = [
    "zone",
    "countryCode",
    "lat",
    "lon",
    "dataCenterRegion",
    "dataCenterProvider",
    "emissionFactorType",
    "datetime",
]
NAMES += [
    "disableEstimations",
    "temporalGranularity",
    "horizonHours",
    "start",
    "end",
    "since",
    "limit",
    "page",
    "region",
]
NAMES += ["signal_type", "latitude", "longitude", "horizon_hours", "include_imputed_marker", "updated_since"]


def queries(route: Route) -> st.SearchStrategy[dict[str, str]]:
    """Any query, with the parts of the path always there."""
    parts = dict.fromkeys(re.findall(r"{(\w+)}", route.path), VALUES)
    return st.fixed_dictionaries(parts, optional=dict.fromkeys(NAMES, VALUES))


@pytest.mark.slow
@given(st.data())
@settings(max_examples=600, deadline=None)
def test_any_question_is_answered_or_refused(data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(ROUTES))
    holding = data.draw(st.frozensets(st.sampled_from(sorted(FAULT_TEXTS)), max_size=3))
    query = data.draw(queries(route)) | dict(route.fixed)
    try:
        reply = route.handler(a_view(holding=holding), query)
    except RefusedError as refused:
        reply = refused.reply
        assert reply.status >= 400
    assert json.dumps(reply.payload)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "duration": st.sampled_from(["PT3H", "P1DT1H", "PT0H", "P99999999D", "3h", ""]),
            "startWindow": INSTANTS,
            "endWindow": INSTANTS,
            "locations": st.sampled_from(
                [[[8.7, 50.1]], [[-0.1, 51.5], [8.7, 50.1]], [[0, 0]], [[None, "x"]], [], 3, ["DE"]]
            ),
        },
    )
)
@settings(max_examples=100, deadline=None)
def test_any_order_to_the_optimizer_is_answered_or_refused(body: dict[str, Any]) -> None:
    try:
        optimizer.optimize(a_view(), body | {"optimizationMetric": optimizer.METRIC})
    except RefusedError as refused:
        assert refused.reply.status in (400, 404)
