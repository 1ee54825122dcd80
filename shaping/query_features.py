"""What can be seen of a query without understanding it: its length, shape, numbers, and how it asks.

Decides which numbers stand for a query. Refuses to know topics and words of a field: on subjects never seen before,
hashed words and word pairs added nothing to these (docs/routing.md has the measurement).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log1p, sqrt

FEATURES_VERSION = 1

_OPTION = re.compile(r"\n([A-Z])[.)] ")
_WORD = re.compile(r"[A-Za-z']+")
_CAPITAL = re.compile(r"(?<![A-Za-z'])[A-Z]")
_DIGIT = re.compile(r"\d")
_NEGATED = re.compile(r"\b(?:not|except|least|incorrect|false)\b")
_BLANK = re.compile(r"_{2,}")
_COMBINED = re.compile(r"all of the above|none of the above|both|neither")
_COMPUTED = re.compile(r"\b(?:calculate|compute|how many|how much|what is the (?:value|probability|number))\b")
_YEAR = re.compile(r"\b1[789]\d\d\b|\b20\d\d\b")
_MONEY = re.compile(r"\$\s?\d")
_RANKED = re.compile(r"\b(?:best|most|likely|primary|main)\b")
# A search for plain text is many times faster than a pattern, and most queries hold none of these.
_COMPUTED_HINTS = ("calculate", "compute", "how m", "what is the")
_RANKED_HINTS = ("best", "most", "likely", "primary", "main")
_YEAR_HINTS = ("17", "18", "19", "20")
_SYMBOLS = "+-*/=^<>()[]{}|~$"
_LONG_WORD = re.compile(r"[A-Za-z']{9,}")
# The shape of a query shows in its beginning; a document of a megabyte must not stall the request path.
_MOST_CHARS = 8000


@dataclass(frozen=True, slots=True)
class _Parts:
    """A query cut once: all of it, what is asked, and the options to choose from."""

    text: str
    lower: str
    stem: str
    options: tuple[str, ...]
    words: tuple[str, ...]
    stem_words: int


def _cut(text: str) -> _Parts:
    pieces = _OPTION.split(text)
    options = tuple(piece.removesuffix("\nAnswer:") for piece in pieces[2::2])
    return _Parts(
        text, text.lower(), pieces[0], options, tuple(_WORD.findall(text)), sum(1 for _ in _WORD.finditer(pieces[0]))
    )


def _share(count: int, whole: int) -> float:
    return count / max(1, whole)


def _mean_option_chars(parts: _Parts) -> float:
    return _share(sum(map(len, parts.options)), len(parts.options))


def _spread_option_chars(parts: _Parts) -> float:
    mean = _mean_option_chars(parts)
    squares = sum((len(option) - mean) ** 2 for option in parts.options)
    return sqrt(squares / max(1, len(parts.options)))


def _says(text: str, pattern: re.Pattern[str], hints: tuple[str, ...]) -> bool:
    """Whether the pattern is in the text; it can be only where one of the hints is."""
    return any(hint in text for hint in hints) and pattern.search(text) is not None


def _digits(text: str) -> int:
    return len(_DIGIT.findall(text))


_FEATURES: Mapping[str, Callable[[_Parts], float]] = {
    "log_chars": lambda parts: log1p(len(parts.text)),
    "log_stem_chars": lambda parts: log1p(len(parts.stem)),
    "log_stem_words": lambda parts: log1p(parts.stem_words),
    "mean_word_chars": lambda parts: _share(sum(map(len, parts.words)), len(parts.words)),
    "log_mean_option_chars": lambda parts: log1p(_mean_option_chars(parts)),
    "log_longest_option_chars": lambda parts: log1p(max(map(len, parts.options), default=0)),
    "log_option_chars_spread": lambda parts: log1p(_spread_option_chars(parts)),
    "digit_share": lambda parts: _share(_digits(parts.text), len(parts.text)),
    "has_digit": lambda parts: _DIGIT.search(parts.text) is not None,
    "option_digit_share": lambda parts: _share(sum(map(_digits, parts.options)), sum(map(len, parts.options))),
    "symbol_share": lambda parts: _share(sum(map(parts.text.count, _SYMBOLS)), len(parts.text)),
    "capital_word_share": lambda parts: _share(len(_CAPITAL.findall(parts.text)), len(parts.words)),
    "distinct_word_share": lambda parts: _share(len(set(map(str.lower, parts.words))), len(parts.words)),
    "long_word_share": lambda parts: _share(len(_LONG_WORD.findall(parts.text)), len(parts.words)),
    "log_commas": lambda parts: log1p(parts.text.count(",")),
    "lines": lambda parts: parts.text.count("\n"),
    "asks_which_of": lambda parts: "which of the following" in parts.lower,
    "asks_negated": lambda parts: _NEGATED.search(parts.stem.lower()) is not None,
    "asks_blank": lambda parts: _BLANK.search(parts.stem) is not None,
    "asks_with_mark": lambda parts: "?" in parts.stem,
    "asks_computed": lambda parts: _says(parts.lower, _COMPUTED, _COMPUTED_HINTS),
    "asks_ranked": lambda parts: _says(parts.lower, _RANKED, _RANKED_HINTS),
    "has_sentences": lambda parts: parts.stem.count(".") > 2,
    "has_statements": lambda parts: "statement" in parts.lower,
    "has_combined_option": lambda parts: _COMBINED.search(parts.lower) is not None,
    "has_quote": lambda parts: '"' in parts.text,
    "has_year": lambda parts: _says(parts.text, _YEAR, _YEAR_HINTS),
    "has_money": lambda parts: _MONEY.search(parts.text) is not None,
    "has_foreign_char": lambda parts: not parts.text.isascii(),
}

FEATURE_NAMES = tuple(_FEATURES)


def features(text: str) -> tuple[float, ...]:
    """One number for each of FEATURE_NAMES, in their order; finite for any text, the empty one included."""
    parts = _cut(text[:_MOST_CHARS])
    return tuple(float(feature(parts)) for feature in _FEATURES.values())
