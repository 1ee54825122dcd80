"""What an emulated service says, before it is put on the wire.

Knows status, body and headers; knows no socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Any

FORBIDDEN_PAGE = (
    "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n"
    "<center><h1>403 Forbidden</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
UNAUTHORIZED_PAGE = FORBIDDEN_PAGE.replace("403 Forbidden", "401 Unauthorized")
GATEWAY_PAGE = FORBIDDEN_PAGE.replace("403 Forbidden", "502 Bad Gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: a JSON payload, or an HTML page where `html` is not empty."""

    payload: Json = None
    status: int = 200
    html: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """Leaves a handler early with the service's own error body."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(f"status {reply.status}")


def refusal(status: int, payload: Json) -> RefusedError:
    return RefusedError(Reply(status=status, payload=payload))
