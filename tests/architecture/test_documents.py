"""What is documented is complete, generated pages are fresh, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from typer.main import get_command

from scheduler.config import Settings
from slacktide.main import app
from tests.architecture.sources import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
# Any reader's machine is not ours: no absolute paths of ours, no address of a package index.
_MACHINE = re.compile(
    r"(?<![\w.])/(?:work|root|home/\w+|tmp)/|find-links\s*=|--(?:extra-)?index-url|files\.pythonhosted|pypi\.org/simple"
)
_TEXTS = {".py", ".md", ".toml", ".lock", ".yaml", ".yml", ".txt", ".cfg", ".sh", ".html", ".js", ".css", ".mako", ""}


# -- settings --------------------------------------------------------------------------------------------------------


def _settings_classes() -> Iterator[tuple[str, type[Any]]]:
    for table, hint in get_type_hints(Settings).items():
        yield table, (get_args(hint)[0] if get_origin(hint) is tuple else hint)


@pytest.mark.parametrize(("table", "settings_class"), list(_settings_classes()))
def test_every_setting_has_a_description(table: str, settings_class: type[Any]) -> None:
    hints = get_type_hints(settings_class, include_extras=True)
    bare = [one.name for one in fields(settings_class) if not _description(hints[one.name])]
    assert not bare, f"{settings_class.__module__} [{table}]: give {bare} a Field(description=...)"


def _description(hint: Any) -> str:
    found = [getattr(note, "description", None) for note in getattr(hint, "__metadata__", ())]
    return next((text for text in found if text), "")


# -- command line ----------------------------------------------------------------------------------------------------


def _commands(command: Any, path: str) -> Iterator[Any]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield pytest.param(command, id=path)
    for name in sorted(inner):
        yield from _commands(inner[name], f"{path} {name}")


COMMANDS = list(_commands(get_command(app), "slacktide"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: Any) -> None:
    assert command.help, "give the function a docstring: its first line is the help"
    assert "slacktide " in command.help, "add a line such as `Example: slacktide NAME ...` to the docstring"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_and_argument_has_help(command: Any) -> None:
    bare = [one.name for one in command.params if not getattr(one, "help", None)]
    assert not bare, f"give {bare} help=... in typer.Option or typer.Argument"


@pytest.mark.slow
def test_asking_for_help_loads_nothing_heavy() -> None:
    heavy = [
        "numpy",
        "aiohttp",
        "asyncio",
        "sqlalchemy",
        "requests",
        "pydantic",
        "apscheduler",
        "matplotlib",
        "pyarrow",
        "scheduler",
    ]
    code = (
        "import sys\nsys.argv = ['slacktide', '--help']\nfrom slacktide.main import main\n"
        f"try:\n    main()\nexcept SystemExit:\n    pass\nprint([one for one in {heavy} if one in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180)
    loaded = result.stdout.splitlines()[-1]
    assert loaded == "[]", f"move these imports of slacktide/*.py into the functions that need them: {loaded}"


# -- documents -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_generated_pages_are_fresh() -> None:
    command = [sys.executable, str(ROOT / "docs/generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=180)
    assert result.returncode == 0, result.stderr


def dead_links(text: str, folder: Path) -> list[str]:
    """Relative links of a Markdown text that lead to no file; code is passed over."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)|(?:src|href)=\"([^\"]+)\"", prose)
    plain = [(first or second).partition("#")[0] for first, second in targets]
    return [one for one in plain if one and "://" not in one and "mailto:" not in one and not (folder / one).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    assert not (dead := dead_links(document.read_text("utf-8"), document.parent)), f"{document}: {dead}"


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("")
    text = "[a](there.md#part) [b](gone.md) `[c](code.md)` [d](https://example.org) ![e](gone.svg 'title')"
    assert dead_links(text, tmp_path) == ["gone.md", "gone.svg"]


def test_no_committed_text_names_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing says which files are committed")
    texts = [ROOT / name for name in listed.stdout.split("\0") if name and Path(name).suffix in _TEXTS]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in texts
        if path.is_file() and path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if _MACHINE.search(line)
    ]
    assert not found, "name no machine's paths and no package index in committed text:\n" + "\n".join(found)
