from __future__ import annotations

import tomllib

import pytest

from scheduler.toml_positions import KeyPath, Position, positions

TEXT = r'''# a comment with [brackets] and = signs
title = "a # is no comment here"
"quoted key" = 1
dotted.inner.key = true

[server]  # table
port = 8080
hosts = ["a", "b]", # "c",
    [1, 2],
]

[[launch]]
name = "one"
env = { PATH = "/bin", nested = { deep = 1 } }
text = """
port = 1
[server]
\""" still inside
"""
[[launch]]
name = 'two'
[launch.extra]
key = """x""\""""
[[launch.step]]
run = 'x'
[[launch.step]]
run = 2026-01-01 12:00:00
'''


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("title",), 2, 1),
        (("quoted key",), 3, 1),
        (("dotted",), 4, 1),
        (("dotted", "inner", "key"), 4, 1),
        (("server",), 6, 1),
        (("server", "port"), 7, 1),
        (("server", "hosts"), 8, 1),
        (("server", "hosts", 1), 8, 15),
        (("server", "hosts", 2), 9, 5),
        (("server", "hosts", 2, 1), 9, 9),
        (("launch", 0), 12, 1),
        (("launch", 0, "env", "PATH"), 14, 9),
        (("launch", 0, "env", "nested", "deep"), 14, 35),
        (("launch", 0, "text"), 15, 1),
        (("launch", 1), 20, 1),
        (("launch", 1, "name"), 21, 1),
        (("launch", 1, "extra", "key"), 23, 1),
        (("launch", 1, "step", 0, "run"), 25, 1),
        (("launch", 1, "step", 1), 26, 1),
        (("launch", 1, "step", 1, "run"), 27, 1),
    ],
)
def test_every_kind_of_key_is_found_where_it_stands(path: KeyPath, line: int, column: int) -> None:
    assert positions(TEXT)[path] == Position(line, column)


def test_exactly_the_keys_that_the_parser_reads_are_found() -> None:
    assert _paths(tomllib.loads(TEXT)) == set(positions(TEXT))


def test_windows_line_ends_count_as_one() -> None:
    assert positions("a = 1\r\nb = [\r\n 2]\r\n")[("b", 0)] == Position(3, 2)


def test_an_empty_text_has_no_keys() -> None:
    assert positions("# nothing\n") == {}


def test_a_text_that_is_no_toml_is_refused() -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        positions("a = \n")


def _paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    inner: set[KeyPath] = {path} if path else set()
    if isinstance(value, dict):
        return inner.union(*(_paths(one, (*path, key)) for key, one in value.items()))
    if isinstance(value, list):
        return inner.union(*(_paths(one, (*path, index)) for index, one in enumerate(value)))
    return inner
