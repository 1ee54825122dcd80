"""Where in a file something is wrong, said in one form: `file:line:column: what`. Reads texts, opens only to read."""

from __future__ import annotations

from pathlib import Path

from slacktide.terminal import UsageProblem


def text_of(path: Path, option: str) -> str:
    """The file as text. Raises UsageProblem that names the option."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise UsageProblem(f"{option}: {path} cannot be read: {problem.strerror}", "give a file that exists") from None
    except UnicodeDecodeError as problem:
        raise UsageProblem(f"{path}: byte {problem.start} is no UTF-8", "save it as UTF-8") from None


def wrong_at(path: Path, line: int, column: int, what: str, hint: str = "") -> UsageProblem:
    return UsageProblem(f"{path}:{line}:{column}: {what}", hint)


def nearest_of(name: str, known: tuple[str, ...]) -> str:
    """A hint: the known name that is meant, or all of them."""
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
