"""How the address of a worker is spelled in each call of it."""

from __future__ import annotations

import pytest

from scheduler.daemon.upstream_target import Origin, Target

PATH = "/v1/chat/completions"


def lines_of(base_url: str) -> list[str]:
    return Target(base_url, [PATH]).head(PATH, {"x-request-id": "req-1"}, 17).decode().split("\r\n")


def test_a_head_is_whole_and_ends_with_what_is_of_one_call() -> None:
    assert lines_of("http://worker:8000") == [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: worker:8000",
        "Content-Type: application/json",
        "Accept: */*",
        "Accept-Encoding: identity",
        "User-Agent: slacktide",
        "x-request-id: req-1",
        "Content-Length: 17",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("base_url", "origin", "host"),
    [
        ("http://worker", Origin(host="worker", port=80, is_tls=False), "worker"),
        ("https://worker", Origin(host="worker", port=443, is_tls=True), "worker"),
        ("https://worker:8443/base", Origin(host="worker", port=8443, is_tls=True), "worker:8443"),
        ("http://[::1]:8000", Origin(host="::1", port=8000, is_tls=False), "[::1]:8000"),
    ],
)
def test_an_address_names_its_host_as_the_scheme_asks(base_url: str, origin: Origin, host: str) -> None:
    assert Target(base_url, []).origin == origin
    assert lines_of(base_url)[1] == f"Host: {host}"


def test_a_path_of_the_address_stands_before_that_of_the_call() -> None:
    assert lines_of("http://worker/eu%20west")[0] == "POST /eu%20west/v1/chat/completions HTTP/1.1"


@pytest.mark.parametrize("value", ["a\r\nHost: b", "a\nb", "a\rb"])
def test_a_header_cannot_bring_another(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        Target("http://worker", [PATH]).head(PATH, {"traceparent": value}, 0)
