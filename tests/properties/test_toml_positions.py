from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.toml_positions import KeyPath, positions

# Whatever a string holds, quotes, brackets and line ends included, its inside is no key.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=12)
BARE = st.text("ab-_1", min_size=1, max_size=3)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def literal(text: str) -> str:
    """In the form of TOML that needs no escapes, where the text allows it."""
    plain = "".join(one for one in text if one.isprintable() and one != "'")
    return f"'''\n{plain}\n  key = 1 # ]\n'''" if len(plain) % 2 else f"'{plain}'"


SCALAR = st.one_of(
    TEXT.map(quoted), TEXT.map(literal), st.integers().map(str), st.sampled_from(["true", "1.5e3", "inf"])
)
KEY = st.one_of(BARE, TEXT.map(quoted))
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: "[\n  # a ] comment\n" + ",\n".join(parts) + "]"),
        st.dictionaries(BARE, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        ),
    ),
    max_leaves=6,
)
TABLE = st.dictionaries(KEY, VALUE, max_size=4).map(
    lambda table: "".join(f" {key} = {value}  # = [x]\n" for key, value in table.items())
)


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from(["[[one]]", "[[one.two]]", "[[ three ]]"]), TABLE), max_size=5), TABLE)
def test_the_scan_finds_exactly_the_keys_that_the_parser_reads(tables: list[tuple[str, str]], top: str) -> None:
    text = top + "".join(f"{header}\n{body}" for header, body in tables)
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # the same key in two spellings
        return
    assert set(positions(text)) == paths(parsed)


@given(st.dictionaries(BARE, SCALAR, max_size=6))
def test_each_key_stands_where_it_is_said_to_stand(table: dict[str, str]) -> None:
    text = "".join(f"{key} = {value}\n" for key, value in table.items())
    for path, place in positions(text).items():
        assert text.split("\n")[place.line - 1][place.column - 1 :].startswith(f"{path[0]} = ")


def paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    inner: set[KeyPath] = {path} if path else set()
    if isinstance(value, dict):
        return inner.union(*(paths(one, (*path, key)) for key, one in value.items()))
    if isinstance(value, list):
        return inner.union(*(paths(one, (*path, index)) for index, one in enumerate(value)))
    return inner
