"""The `metadata` that clients hang onto OpenAI's objects: how much of it, and no more. Knows no key's meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from scheduler.daemon.api_errors import invalid

# As OpenAI documents them.
MAX_PAIRS, MAX_KEY, MAX_VALUE = 16, 64, 512
_KEYED = re.compile(r"metadata\[.+\]")


def check_metadata(metadata: Mapping[str, str] | None) -> None:
    """Raises ApiError 400 for more than is kept."""
    for key, value in (metadata or {}).items():
        if "\0" in key + value:  # PostgreSQL takes no such text
            raise invalid("metadata: may not hold NUL", param="metadata")
        if len(key) > MAX_KEY or len(value) > MAX_VALUE:
            message = f"metadata: keys have at most {MAX_KEY} characters, values {MAX_VALUE}"
            raise invalid(message, param="metadata")
    if len(metadata or {}) > MAX_PAIRS:
        raise invalid(f"metadata: at most {MAX_PAIRS} pairs", param="metadata")


def metadata_filter(query: Mapping[str, str]) -> Callable[[Mapping[str, str] | None], bool]:
    """Which of a list a query asks for: `metadata[KEY]=VALUE`, each of them, or `metadata=null` for those without."""
    wanted = {name[len("metadata[") : -1]: value for name, value in query.items() if _KEYED.fullmatch(name)}
    if wanted:
        return lambda metadata: wanted.items() <= (metadata or {}).items()
    if query.get("metadata") == "null":
        return lambda metadata: not metadata
    return lambda metadata: True
