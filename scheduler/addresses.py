"""Addresses in the settings, before anybody calls them. Decides which ones nobody could, and how; looks none up."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_CALLED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # listened on, and called


def is_host(name: str) -> bool:
    """Whether it can be looked up at all, or is an IP address."""
    if not name or not name.isprintable() or " " in name:
        return False
    try:
        name.encode("idna")
    except UnicodeError:  # an empty label, or one of more than 63 characters
        return False
    return True


def is_base(url: str) -> bool:
    """Whether paths may follow it: scheme, host and perhaps credentials, a port and a path."""
    try:
        parts = urlsplit(url)
        is_plain = parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:  # half a bracket, or no number for a port
        return False
    return is_plain and url.isprintable() and " " not in url and is_host(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be reached from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def called_at(host: str, port: int, *, is_tls: bool = False) -> str:
    """Where this machine finds who listens there: an address that stands for all of them is none to call."""
    called, scheme = _CALLED.get(host, host), "https" if is_tls else "http"
    return f"{scheme}://[{called}]:{port}" if ":" in called else f"{scheme}://{called}:{port}"
