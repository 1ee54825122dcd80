"""The one shape of every refusal: OpenAI's error object, with the field that was wrong in `param`.

Decides which HTTP status and which `type` each kind of failure has. Knows no request and no server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

# The official client obeys Retry-After up to two minutes and falls back to its own back-off beyond.
MAX_RETRY_AFTER_S = 120.0


class ApiError(Exception):
    """A refusal on its way to the client.

    `param` names the field or header, `code` is stable for programs, `retry_after_s` says when asking again may help.
    `suggestions` are changes of the request that were tried and help.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        closes_connection: bool = False,
        suggestions: Sequence[Mapping[str, Any]] = (),
        more_headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.message, self.kind = status, message, kind
        self.param, self.code, self.retry_after_s = param, code, retry_after_s
        self.closes_connection = closes_connection
        self.suggestions = suggestions
        self.more_headers = more_headers or {}
        super().__init__(message)

    def body(self) -> bytes:
        """The JSON document of the answer."""
        told = {"suggestions": self.suggestions} if self.suggestions else {}
        return error_body(self.message, kind=self.kind, param=self.param, code=self.code, **told)

    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(math.ceil(min(self.retry_after_s, MAX_RETRY_AFTER_S)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        headers.update(self.more_headers)
        return headers


def error_body(message: str, *, kind: str, param: str | None = None, code: str | None = None, **more: Any) -> bytes:
    """OpenAI's error object as bytes; `more` are fields that it does not have."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code, **more}})


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the caller has to change something; `param` says what."""
    return ApiError(400, message, kind="invalid_request_error", param=param, code=code)


def unknown_model(model: str) -> ApiError:
    """404, as OpenAI answers it."""
    shown = model if len(model) <= 100 else model[:100] + "..."
    return ApiError(
        404,
        f"The model `{shown}` does not exist here. GET /v1/models lists those that do.",
        kind="invalid_request_error",
        param="model",
        code="model_not_found",
    )


def not_found(what: str, *, param: str | None = None) -> ApiError:
    return ApiError(404, what, kind="invalid_request_error", param=param, code="not_found")


def unauthorized(message: str, code: str = "invalid_api_key") -> ApiError:
    return ApiError(401, message, kind="authentication_error", code=code)


def queue_full(retry_after_s: float) -> ApiError:
    """429: as many requests are held as the settings allow."""
    return ApiError(
        429,
        "Too many requests are waiting; try again shortly.",
        kind="rate_limit_error",
        code="queue_full",
        retry_after_s=retry_after_s,
    )


def unavailable(message: str, *, code: str, retry_after_s: float) -> ApiError:
    """503: nothing was done, and asking again may help."""
    return ApiError(503, message, kind="server_error", code=code, retry_after_s=retry_after_s)


def failed_upstream(status: int, message: str, *, code: str, retry_after_s: float) -> ApiError:
    """502 or 504: a worker was asked and did not answer properly."""
    return ApiError(status, message, kind="server_error", code=code, retry_after_s=retry_after_s)


def internal() -> ApiError:
    return ApiError(500, "Slacktide failed here; the log names this request id.", kind="server_error", code="internal")
