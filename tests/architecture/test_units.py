"""Every float says its unit in its name: parameters, fields and properties of the five packages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.sources import ROOT, Module, modules, parsed

_TIME = "s|ms|us|h|hours|days|years"
_ENERGY = "w|kw|mw|wh|kwh|mwh|j|kj|mj"
_CARBON = "g|gco2e|kgco2e|lbs"
_OTHER = "usd|eur|l|hz|c|deg|bytes?|px|gib|gb|flops?|tflops?|ratio|percent"
# What a float may count: means and rates of things that come in wholes.
_COUNTS = "tokens?|requests?|jobs?|gpus?|sequences?|steps?|batch|params?|bits|workers?|calls?|layers?"
_UNIT = f"(?:{_TIME}|{_ENERGY}|{_CARBON}|{_OTHER}|{_COUNTS})"
_HAS_UNIT = re.compile(rf"(?:^|_)(?:per_)?{_UNIT}(?:_per_{_UNIT})*(?:_squared)?$")

# Names of the field that are dimensionless by definition, or whose unit the word itself is.
DIMENSIONLESS: dict[str, str] = {
    "speed": "simulated seconds per real second",
    "pue": "facility energy over IT energy",
    "weights": "shares of a whole, in any unit",
    "factor": "a pure number that multiplies",
    "cost": "what a planner's objective weighs: grams, dollars, or a sum of both",
    "costs": "the same, one for each choice",
    "default": "the value of a setting whose name an administrator chose",
    "hyperparameters": "numbers of a trainer, each in a unit of its own",
    "low": "one end of an axis, in the axis's unit",
    "high": "the other end of an axis",
    "buckets": "edges of a histogram, in the unit of its metric's name",
    "array": "helpers on arrays that hold for any unit",
    "table": "columns of several units, each named where it is read",
    "vector": "components of an embedding",
}
# In a private function only: a helper that holds for any unit, which its callers name.
ANY_UNIT = frozenset({"value", "values", "parts"})

_FLOATS = {"float", "Floats", "float64", "Duration", "Power"}
_ARGUMENT_LISTS = ("posonlyargs", "args", "kwonlyargs")


def nameless(module: Module) -> list[str]:
    """Float parameters, fields and properties without a unit, each as `file:line what: remedy`."""
    return [
        f"{module.at(node)} {name}: {ast.unparse(annotation)} has no unit in its name; "
        "append one (_s, _at_s, _w, _kwh, _j, _gco2e, _gco2e_per_kwh, _ratio, _usd, _l, ...)"
        for node, name, annotation, is_private in _annotated(module.tree)
        if holds_floats(annotation) and not has_unit(name) and not (is_private and name in ANY_UNIT)
    ]


def has_unit(name: str) -> bool:
    plain = name.strip("_")
    return plain in DIMENSIONLESS or plain.rpartition("_")[2] in DIMENSIONLESS or bool(_HAS_UNIT.search(plain.lower()))


def holds_floats(annotation: ast.expr) -> bool:
    """Whether the value is a float, or a collection of floats; what a callable takes and gives is its own matter."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return holds_floats(ast.parse(annotation.value, mode="eval").body)
    if isinstance(annotation, ast.Subscript):
        name = ast.unparse(annotation.value).rpartition(".")[2]
        if name in {"Callable", "Literal", "type", "ClassVar"}:
            return False
        if name in {"dict", "Mapping", "MutableMapping", "tuple"} and isinstance(annotation.slice, ast.Tuple):
            return _all_floats(annotation.slice.elts, last_only="apping" in name or name == "dict")
        return holds_floats(annotation.slice)
    if isinstance(annotation, ast.Tuple):  # Annotated[float, ...], ndarray[shape, dtype]
        return any(holds_floats(one) for one in annotation.elts[:2])
    if isinstance(annotation, ast.BinOp):
        return holds_floats(annotation.left) or holds_floats(annotation.right)
    return isinstance(annotation, ast.Name | ast.Attribute) and ast.unparse(annotation).rpartition(".")[2] in _FLOATS


def _all_floats(parts: list[ast.expr], *, last_only: bool) -> bool:
    # A mapping is named by what it maps to; a pair, such as an interval, is described by its docstring.
    is_pair = not last_only and ast.unparse(parts[-1]) != "..."
    return not is_pair and holds_floats(parts[-1] if last_only else parts[0])


def _annotated(tree: ast.Module) -> Iterator[tuple[ast.AST, str, ast.expr, bool]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for kind in _ARGUMENT_LISTS:
                for argument in getattr(node.args, kind):
                    if argument.annotation is not None:
                        yield argument, argument.arg, argument.annotation, node.name.startswith("_")
            if node.returns is not None and any(ast.unparse(one) == "property" for one in node.decorator_list):
                yield node, node.name, node.returns, False
        elif isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    yield statement, statement.target.id, statement.annotation, False


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_every_float_has_its_unit_in_its_name(module: Module) -> None:
    assert not (found := nameless(module)), "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "name",
    [
        "now_s",
        "at_s",
        "started_at_s",
        "energy_kwh",
        "mean_gco2e_per_kwh",
        "savings_ratio",
        "power_w",
        "wait_p99_s",
        "pue",
        "host_pue",
        "l",
        "usd_per_kwh",
        "energy_j_per_token",
        "_executed_s",
        "speed",
    ],
)
def test_a_name_with_a_unit_passes(name: str) -> None:
    assert has_unit(name)


@pytest.mark.parametrize(
    "name", ["now", "duration", "energy", "intensity", "savings", "value", "timeout", "kwhs", "seconds_", "speedy"]
)
def test_a_name_without_a_unit_is_seen(name: str) -> None:
    assert not has_unit(name)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("def f(wait: float) -> None: ...", 1),
        ("def f(value: float) -> None: ...", 1),
        ("def _scaled(value: float) -> None: ...", 0),
        ("def f(wait: 'float | None' = None) -> None: ...", 1),
        ("def f(*, waits: Sequence[float]) -> None: ...", 1),
        ("class A:\n    wait: Annotated[float, Field(ge=0)] = 0.0", 1),
        ("class A:\n    waits: dict[str, float]", 1),
        ("class A:\n    waits: NDArray[np.float64]", 1),
        ("class A:\n    @property\n    def wait(self) -> float: ...", 1),
        ("class A:\n    wait_s: float\n    names: tuple[str, float]\n    count: int", 0),
        ("def f(waits: tuple[float, ...], spans: list[tuple[float, float]]) -> None: ...", 1),
        ("def f(clock: Callable[[float], float], points: dict[float, str]) -> float: ...", 0),
    ],
)
def test_floats_are_found_wherever_they_are_declared(text: str, count: int) -> None:
    assert len(nameless(parsed(text, ROOT / "scheduler/made_up.py"))) == count
