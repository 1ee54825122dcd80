"""One call to a daemon's /api/v1 and its answer. Decides who can mend a refusal; knows no command and no screen.

A daemon that does not answer or fails is an OwnFailure; what a daemon refuses is a UsageProblem naming the field.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.auth import AuthBase

from slacktide.terminal import OwnFailure, UsageProblem

_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 60.0  # a submission waits for a disk, and never for a clean hour
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_HINTS = {
    401: "put a key of the daemon into SLACKTIDE_KEY",
    403: "the key in SLACKTIDE_KEY does not allow this",
    404: "slacktide jobs lists what there is",
    413: "split it into several submissions",
}


class _Bearer(AuthBase):
    """The key, or nothing; keeps a .netrc from adding its own."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class DaemonClient:
    """Calls one daemon. `get` and `post` raise UsageProblem and OwnFailure."""

    def __init__(self, url: str, environment: Mapping[str, str] = os.environ) -> None:
        self._url = url.rstrip("/")
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageProblem(f"--url: {url!r} is no address", "write, for instance, http://127.0.0.1:8080")
        key = environment.get("SLACKTIDE_KEY", "").strip()
        if not key.isascii() or not key.isprintable():
            raise UsageProblem("SLACKTIDE_KEY holds characters that no key has", "set it again")
        self._session = requests.Session()
        self._session.auth = _Bearer(key)
        if parts.hostname in _LOOPBACK:
            self._session.trust_env = False  # no proxy leads to this machine

    def get(self, path: str, **query: Any) -> Any:
        return self._answer("GET", path, params=query)

    def post(
        self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> dict[str, Any]:
        answer = self._answer("POST", path, params=query, json=body, headers=headers)
        assert isinstance(answer, dict), "every change answers with an object"
        return answer

    def _answer(self, method: str, path: str, **sent: Any) -> Any:
        timeouts_s = (_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S)
        address = f"{self._url}/api/v1/{path}"
        try:
            response = self._session.request(method, address, timeout=timeouts_s, allow_redirects=False, **sent)
        except requests.exceptions.SSLError:
            hint = "name it as its certificate does, and its authority by REQUESTS_CA_BUNDLE=FILE"
            raise OwnFailure(f"the certificate of {self._url} is not trusted here", hint) from None
        except requests.ConnectionError:
            hint = "start one with `slacktide serve`, or name another by --url or SLACKTIDE_URL"
            raise OwnFailure(f"no daemon answers at {self._url}", hint) from None
        except requests.Timeout:
            hint = "nobody knows whether it was done: look before trying again"
            raise OwnFailure(f"the daemon at {self._url} did not answer in time", hint) from None
        except (requests.RequestException, UnicodeError) as error:
            raise UsageProblem(f"this cannot be sent to {self._url}: {error}") from None
        return _read(response, self._url)


def job_path(job_id: str, action: str = "") -> str:
    """Where a job lives under /api/v1."""
    return f"jobs/{quote(job_id, safe='')}" + (f"/{action}" if action else "")


def key_path(key_id: str, action: str) -> str:
    """Where a change of a key lives under /api/v1."""
    return f"keys/{quote(key_id, safe='')}/{action}"


def quota_path(tenant: str, action: str = "") -> str:
    """Where a tenant's quota lives under /api/v1."""
    return f"quotas/{quote(tenant, safe='')}" + (f"/{action}" if action else "")


def _read(response: requests.Response, url: str) -> Any:
    try:
        answer = response.json()
    except requests.JSONDecodeError:
        answer = None
    if response.ok and answer is not None:
        return answer
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        raise OwnFailure(f"{url} does not answer as a slacktide daemon does (HTTP {response.status_code})", "see --url")
    what = _what(error)
    if response.status_code >= 500:
        raise OwnFailure(what, "the daemon's log says more")
    raise UsageProblem(what, _suggested(error) or _HINTS.get(response.status_code, ""))


def _suggested(error: Mapping[str, Any]) -> str:
    """The changes that the daemon has tried, as options of `slacktide submit`."""
    options = [" ".join(map(_option, one["changes"])) for one in error.get("suggestions") or ()]
    return f"this would do: {', or '.join(options)}" if options else ""


def _option(change: Mapping[str, Any]) -> str:
    field, value = change["field"], change["value"]
    match field:
        case "regions":
            return f"--region {value[-1]}"
        case "interruptible":
            return "--interruptible"
        case _:
            return f"--{field.replace('_', '-')} {value}"


def _what(error: Mapping[str, Any]) -> str:
    message, field = " ".join(str(error.get("message", "")).split()), error.get("param")
    return message if field is None or message.startswith(f"{field}:") else f"{field}: {message}"
