"""What every command shares: data on stdout, messages on stderr, mistakes without a traceback."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

import typer


class UsageProblem(Exception):  # noqa: N818  the user's, not ours
    """Something the user can mend: one line of what, one of how. Exit code 2."""

    def __init__(self, what: str, hint: str = "") -> None:
        self.what, self.hint = what, hint
        super().__init__(what)


class OwnFailure(Exception):  # noqa: N818
    """Something the user cannot mend by other words: a server that is down, a run that failed. Exit code 1."""

    def __init__(self, what: str, hint: str = "") -> None:
        self.what, self.hint = what, hint
        super().__init__(what)


def counted(number: int, noun: str) -> str:
    """A number and what it counts, as in `1 job` and `2 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(message: str) -> None:
    """A line for the person at the terminal; never part of the data."""
    print(message, file=sys.stderr)


def reason_of(error: OSError) -> str:
    """What the system says, without a number and without the library's own words around it."""
    if error.errno is not None and error.errno > 0:  # a name that cannot be resolved has a number of another kind
        return os.strerror(error.errno)
    return error.strerror or str(error)


def print_json(data: Any) -> None:
    """One JSON document on stdout. NaN is refused: missing data is null."""
    print(json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False))


def leave(problem: UsageProblem | OwnFailure) -> NoReturn:
    say(f"slacktide: {problem.what}")
    if problem.hint:
        say(f"  hint: {problem.hint}")
    sys.exit(2 if isinstance(problem, UsageProblem) else 1)


JSON_OPTION = typer.Option("--json", help="Print one JSON document for scripts instead of text for people.")
