"""The project's own source files as syntax trees: what the architecture tests look at. Decides no rule."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("intensity_feeds", "shaping", "scheduler", "simulations", "slacktide")


@dataclass(frozen=True, kw_only=True)
class Module:
    """One source file of the five packages."""

    name: str
    path: Path
    text: str = field(repr=False)

    @functools.cached_property
    def tree(self) -> ast.Module:
        """Parsed when it is first looked at: a test run's workers list all modules, and look at their share."""
        return ast.parse(self.text, str(self.path))

    @property
    def place(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    def at(self, node: ast.AST) -> str:
        """`file:line`, to be clicked on."""
        return f"{self.place}:{getattr(node, 'lineno', 1)}"


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported module. `when_loaded`: not inside a function. `for_types`: under TYPE_CHECKING only."""

    target: str
    node: ast.stmt
    when_loaded: bool
    for_types: bool


@functools.cache
def modules() -> tuple[Module, ...]:
    """All modules of the five packages, by name; a new file is seen without being listed anywhere."""
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return tuple(parsed(path.read_text("utf-8"), path) for path in paths)


def parsed(text: str, path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name=name, path=path, text=text)


def imports(module: Module) -> list[Import]:
    """Every import of a module, lazy ones inside functions included, relative ones resolved."""
    return list(_imports(module, module.tree, when_loaded=True, for_types=False))


def _imports(module: Module, node: ast.AST, *, when_loaded: bool, for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            for target in _targets(module, child):
                yield Import(target=target, node=child, when_loaded=when_loaded, for_types=for_types)
        else:
            in_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(
                module,
                child,
                when_loaded=when_loaded and not in_function,
                for_types=for_types or _is_for_types(child),
            )


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _targets(module: Module, statement: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    origin = _absolute(module, statement)
    # `from package import submodule` names a module; `from module import name` does not.
    return [
        f"{origin}.{alias.name}" if _is_own_module(f"{origin}.{alias.name}") else origin for alias in statement.names
    ]


def _absolute(module: Module, statement: ast.ImportFrom) -> str:
    if not statement.level:
        return statement.module or ""
    parts = module.name.split(".")
    above = statement.level - (1 if module.path.name == "__init__.py" else 0)
    return ".".join([*parts[: len(parts) - above], *filter(None, [statement.module])])


@functools.cache
def _is_own_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return name.partition(".")[0] in PACKAGES and (path.with_suffix(".py").is_file() or path.is_dir())


def matches(name: str, pattern: str) -> bool:
    """Whether a module is `pattern` itself or, for `package.*`, anything inside it."""
    return name == pattern or (pattern.endswith(".*") and (name + ".").startswith(pattern[:-1]))
