"""The examples and what becomes of each when one value changes, as a page and a picture each.

    python -m benchmarks.gallery [--write] [NAME ...]

Every row is a command that anybody can run: `slacktide simulate examples/NAME.toml --set ...`. Takes a few minutes.
With names only these are run and printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill

from benchmarks.gallery_exhibits import EXHIBITS, EXTRAS, Exhibit, Variation
from benchmarks.gallery_picture import save_picture
from simulations.inputs import gather_inputs
from simulations.overrides import parse_override
from simulations.results import Results, results_of
from simulations.runs import run_both
from simulations.scenario_file import load_scenario

ROOT = Path(__file__).resolve().parents[1]
INDEX, PAGES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "gallery"
PICTURES = ROOT / "docs" / "pictures"
KG_PER_G = 1e-3
_WRITTEN = "<!-- Written by `python -m benchmarks.gallery --write`. -->"

_INTRODUCTION = """
The scenarios in `examples/`, each on recorded grids, and what becomes of each when one value changes. A row is
`slacktide simulate examples/NAME.toml --set CHANGE`, with a `--set` for each change. Savings are signed, and against
the same work at once; `late` counts what is late under the policy, and in brackets at once.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--write", action="store_true", help="write the pages below docs/gallery.md, and their pictures"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    asked = parser.parse_args()
    if asked.write:
        INDEX.write_text("".join(index()), encoding="utf-8")
    for exhibit in EXHIBITS:
        if not asked.names or exhibit.name in asked.names:
            page = "".join(_page(exhibit, PICTURES if asked.write else None))
            if asked.write:
                page_of(exhibit).write_text(page, encoding="utf-8")
            else:
                print(page, flush=True)


def page_of(exhibit: Exhibit) -> Path:
    return PAGES / f"{exhibit.name}.md"


def index() -> Iterator[str]:
    """The page that leads to all others."""
    yield f"# Gallery\n\n{_WRITTEN}\n\n{_filled(_INTRODUCTION)}\n\n"
    yield "| scenario | question |\n| :--- | :--- |\n"
    yield from (f"| [{one.name}](gallery/{one.name}.md) | {one.question} |\n" for one in EXHIBITS)


def _page(exhibit: Exhibit, pictures: Path | None) -> Iterator[str]:
    found = [(one, results_of_variation(exhibit.name, one.changes)) for one in exhibit.variations]
    extras = "".join(f" {name} |" for name in exhibit.extras)
    scenario = f"examples/{exhibit.name}.toml"
    yield f"# {exhibit.name}\n\n{_WRITTEN}\n\n{exhibit.question}\n\n"
    yield f"The scenario: [{scenario}](../../{scenario}); more in the [gallery](../gallery.md).\n\n"
    yield f"    slacktide simulate {scenario}\n\n"
    yield f"| | change | at once, kg | policy, kg | saved |{extras} late |\n"
    yield f"| :--- | :--- | ---: | ---: | ---: |{' ---: |' * len(exhibit.extras)} ---: |\n"
    yield from (_row(exhibit, variation, results) for variation, results in found)
    if pictures is not None:
        save_picture(exhibit, found, pictures / f"gallery-{exhibit.name}.png")
        yield f"\n![{exhibit.picture_words}](../pictures/gallery-{exhibit.name}.png)\n"
    yield f"\n{_filled(exhibit.lesson)}\n"


def _filled(text: str) -> str:
    return fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def results_of_variation(name: str, changes: Sequence[str]) -> Results:
    path = ROOT / "examples" / f"{name}.toml"
    return results_of(run_both(gather_inputs(load_scenario(str(path), [parse_override(one) for one in changes]))))


def _row(exhibit: Exhibit, variation: Variation, results: Results) -> str:
    at_once_kg, policy_kg = (side.emissions_gco2e * KG_PER_G for side in (results.baseline, results.policy))
    change = " ".join(f"`{one}`" for one in variation.changes)
    late = f"{results.policy.deadline_misses} ({results.baseline.deadline_misses})"
    extras = "".join(f" {EXTRAS[name](results)} |" for name in exhibit.extras)
    saved = "" if results.savings_ratio is None else f"{results.savings_ratio:+.1%}"
    kg = f"{at_once_kg:.4g} | {policy_kg:.4g}"
    return f"| {variation.words} | {change} | {kg} | {saved} |{extras} {late} |\n"


if __name__ == "__main__":
    main()
