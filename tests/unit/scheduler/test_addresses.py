"""Addresses in the settings."""

from __future__ import annotations

import pytest

from scheduler.addresses import called_at


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("here.example", "http://here.example:80"),
    ],
)
def test_a_daemon_that_listens_everywhere_is_called_on_this_machine(host: str, url: str) -> None:
    assert called_at(host, 80) == url


def test_one_with_a_certificate_is_called_by_https() -> None:
    assert called_at("::", 8443, is_tls=True) == "https://[::1]:8443"
