"""Where the calls of one worker go, and the part of a request's head that is the same for all of them.

Pure. Decides how an address of the settings is spelled on the wire; knows no socket, and nothing of what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aiohttp import encode_basic_auth
from yarl import URL

# A worker's bytes are passed on as they come, so compressing them would only cost it time.
_OF_ALL = (
    ("Content-Type", "application/json"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "identity"),
    ("User-Agent", "slacktide"),
)


class Origin(NamedTuple):
    """What a connection is made to, and shared by: two workers on one address share their idle ones."""

    host: str
    port: int
    is_tls: bool


class Target:
    """One worker's address."""

    __slots__ = ("_heads", "origin")

    def __init__(self, base_url: str, paths: Iterable[str]) -> None:
        """`base_url` is http or https, perhaps with credentials and a path of its own."""
        url = URL(base_url)
        self.origin = Origin(host=url.host or "", port=url.port or 80, is_tls=url.scheme == "https")
        self._heads = {path: _head(URL(base_url + path)) for path in paths}

    def head(self, path: str, headers: Mapping[str, str], body_bytes: int) -> bytes:
        """The whole head of one call, with what is said in it alone. Raises ValueError for a broken line."""
        told = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if told.count("\n") != len(headers) or told.count("\r") != len(headers):
            raise ValueError("a header holds a line break")
        return b"%b%bContent-Length: %d\r\n\r\n" % (self._heads[path], told.encode("latin-1"), body_bytes)


def _head(url: URL) -> bytes:
    lines = [f"POST {url.raw_path_qs} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
    if url.user is not None:
        credentials = encode_basic_auth(url.user, url.password or "")
        lines.append(f"Authorization: {credentials}")
    lines += [f"{name}: {value}" for name, value in _OF_ALL]
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")
