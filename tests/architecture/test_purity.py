"""Pure code gets time, randomness and data as arguments: it imports no outside and calls none."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.shells import SHELLS, is_shell
from tests.architecture.sources import PACKAGES, ROOT, Module, imports, matches, modules, parsed

_INSTEAD = {
    "time": "take now_s as an argument",
    "random": "take a seeded generator as an argument",
    "secrets": "take a seeded generator as an argument",
    "uuid": "take the identifier as an argument",
    "logging": "return what happened; the shell logs it",
    "os": "take the value as an argument",
    "pathlib": "take the content as an argument; the shell reads the file",
    "io": "take the content as an argument",
}
_OUTSIDE = frozenset(
    {*_INSTEAD, "asyncio", "threading", "subprocess", "socket", "ssl", "select", "selectors", "signal", "shutil"}
    | {"concurrent", "multiprocessing", "tempfile", "glob", "fcntl", "sqlite3", "http", "urllib.request", "sched"}
    | {"aiohttp", "requests", "urllib3", "sqlalchemy", "alembic", "prometheus_client", "pynvml"}
    | {
        "rich",
        "typer",
        "click",
        "importlib.resources",
        "apscheduler.schedulers",
        "apscheduler.executors",
        "pyarrow.parquet",
        "matplotlib",
        "ray",
    }
)
_CALLS = {
    "open": "take the content as an argument",
    "input": "take the answer as an argument",
    "print": "return the text; the command line prints it",
}
# Attributes of numpy.random that draw from hidden state; a Generator that came as an argument does not.
_HIDDEN_STATE = frozenset({"rand", "randn", "randint", "random", "normal", "uniform", "choice", "shuffle", "seed"})


def effects(module: Module) -> list[str]:
    """What a module does that pure code may not, each as `file:line what: remedy`."""
    found = []
    for one in imports(module):
        if not one.for_types and not _is_seedable(one.node) and (outside := _outside(one.target)):
            remedy = _INSTEAD.get(outside, "leave it to the shell, and list the module in shells.py if it is one")
            found.append(f"{module.at(one.node)} imports {one.target}: {remedy}")
        elif not one.for_types and one.target.partition(".")[0] in PACKAGES and is_shell(one.target):
            found.append(f"{module.at(one.node)} imports the shell {one.target}: pure code is called by shells")
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    return found + [
        f"{module.at(call)} calls {ast.unparse(call.func)}(): {remedy}"
        for call in calls
        if (remedy := _effect_of(call))
    ]


def _is_seedable(statement: ast.stmt) -> bool:
    """`from random import Random`: the class draws only from the seed that it is given."""
    return isinstance(statement, ast.ImportFrom) and [one.name for one in statement.names] == ["Random"]


def _outside(target: str) -> str:
    return next((name for name in sorted(_OUTSIDE) if (target + ".").startswith(name + ".")), "")


def _effect_of(call: ast.Call) -> str:
    name = ast.unparse(call.func)
    if name in _CALLS:
        return _CALLS[name]
    if name == "Random" and not call.args:
        return "take a seeded generator as an argument"
    head, _, last = name.rpartition(".")
    if head in {"np.random", "numpy.random"} and (last in _HIDDEN_STATE or (last == "default_rng" and not call.args)):
        return "take a seeded generator as an argument"
    if last in {"now", "utcnow", "today"} and head in {"datetime", "datetime.datetime", "date", "datetime.date"}:
        return "take now_s as an argument"
    return ""


PURE = [module for module in modules() if not is_shell(module.name)]


@pytest.mark.parametrize("module", PURE, ids=lambda module: module.name)
def test_pure_modules_touch_nothing_outside(module: Module) -> None:
    assert not (found := effects(module)), "\n" + "\n".join(found)


def test_every_entry_of_the_table_of_shells_is_a_module() -> None:
    names = [module.name for module in modules()]
    gone = [pattern for pattern in SHELLS if not any(matches(name, pattern) for name in names)]
    assert not gone, f"in SHELLS but not in the source; remove the entry: {gone}"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("import time", "now_s"),
        ("def f():\n    import random", "seeded generator"),
        ("from random import Random\nrng = Random()", "seeded generator"),
        ("from os import path", "argument"),
        ("from concurrent.futures import Executor", "shell"),
        ("text = open('x').read()", "content"),
        ("from datetime import datetime\nx = datetime.now()", "now_s"),
        ("import numpy as np\nrng = np.random.default_rng()", "seeded"),
        ("import numpy as np\nx = np.random.normal(0, 1)", "seeded"),
        ("from scheduler.daemon.env import Env", "called by shells"),
        ("from scheduler import store", "called by shells"),
    ],
)
def test_an_effect_is_seen(text: str, remedy: str) -> None:
    found = effects(parsed(text, ROOT / "scheduler/made_up.py"))
    assert len(found) == 1
    assert remedy in found[0]


def test_types_and_seeded_generators_are_no_effects() -> None:
    text = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import random\n"
        "import numpy as np\n"
        "from random import Random\n"
        "fixed = Random(7)\n"
        "def draw(rng: np.random.Generator, seed: int) -> float:\n"
        "    return rng.random() + np.random.default_rng(seed).random()\n"
    )
    assert effects(parsed(text, ROOT / "simulations/made_up.py")) == []
