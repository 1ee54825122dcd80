"""How a launch template becomes an argument list. Values fill placeholders inside single arguments; nothing is ever a
shell line, and a value cannot become an option."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from scheduler.jobs import InvalidJobError

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def placeholders(command: Sequence[str]) -> frozenset[str]:
    """Names that a submission must give."""
    return frozenset(name for argument in command for name in _PLACEHOLDER.findall(argument))


def filled(command: Sequence[str], arguments: Mapping[str, str]) -> list[str]:
    """The argument list to start. Raises InvalidJobError for a missing, an unknown or a dangerous value."""
    wanted = placeholders(command)
    for name in sorted(wanted - arguments.keys()):
        raise InvalidJobError(f"arguments.{name}", "the template needs it")
    for name in sorted(arguments.keys() - wanted):
        raise InvalidJobError(f"arguments.{name}", "the template has no such placeholder")
    for name, value in sorted(arguments.items()):
        if value.startswith("-") or "\0" in value:
            raise InvalidJobError(f"arguments.{name}", "may not begin with a dash or hold a zero byte")
    return [_PLACEHOLDER.sub(lambda found: arguments[found[1]], argument) for argument in command]
