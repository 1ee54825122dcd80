"""Every policy on every example: what each saves, how long work waits for it, and where our saving comes from.

    python -m benchmarks.policies [--write] [--only NAME]

`--write` puts the rows into docs/policies.md; an example that is not named keeps its own. Takes some
ten minutes of a core.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from simulations.comparison import ALL, TITLES, PolicyRow, PolicyTable, compared, waits_mean_s
from simulations.inputs import gather_inputs
from simulations.runs import Inputs
from simulations.savings_parts import Part, SavingsParts, savings_parts
from simulations.scenario_file import load_scenario

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "policies.md"
BLOCK = re.compile(r"(<!-- python -m benchmarks.policies --write -->\n)(.*?)(<!-- end of measured -->)", re.DOTALL)

# Example and seeds: one where nothing is drawn that a policy could notice, or where a run takes minutes.
EXAMPLES = {
    "nightly-training": 1,
    "flex-week-gb": 5,
    "follow-the-sun": 5,
    "azure-conv-philly-de2022": 1,
    "night-batch": 5,
    "code-bursts": 1,
    "quiet-workers": 5,
    "carbon-budget": 1,
    "shaky-forecasts": 3,
    "average-or-marginal": 3,
    "price-or-carbon": 3,
    "gpu-generations": 3,
    "cooling": 3,
    "rebound": 3,
}
# What stands above each table, and its columns; running at once comes first and saves nothing.
TABLES = (
    ("Saved against running at once:", [*TITLES.values()][1:]),
    (
        "Mean wait in hours, of jobs, else of requests that may wait; in brackets, how many are late:",
        [*TITLES.values()],
    ),
    (
        "Where our own saving comes from, in per cent of running at once, under the seed in the file:",
        [*(part.value for part in Part), "in all"],
    ),
)
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    name: str
    table: PolicyTable
    parts: SavingsParts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/policies.md")
    parser.add_argument("--only", choices=EXAMPLES, help="one example")
    asked = parser.parse_args()
    found = {name: _rows(_measured(name)) for name in ([asked.only] if asked.only else EXAMPLES)}
    if asked.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(BLOCK.sub(lambda block: _renewed(block, found), page), encoding="utf-8")
    else:
        print(_tables(found), end="")


def _measured(name: str) -> Measured:
    results, table = compared(_inputs(name), ALL, count=EXAMPLES[name])
    return Measured(name=name, table=table, parts=savings_parts(results))


def _inputs(name: str) -> Iterator[Inputs]:
    loaded = load_scenario(str(ROOT / "examples" / f"{name}.toml"))
    for seed in range(loaded.scenario.seed, loaded.scenario.seed + EXAMPLES[name]):
        yield gather_inputs(replace(loaded, scenario=replace(loaded.scenario, seed=seed)))


def _renewed(block: re.Match[str], found: Mapping[str, Sequence[str]]) -> str:
    """The block with these examples' rows in it; rows of one example come in the order of the tables."""
    kept: dict[str, list[str]] = {}
    for line in block[2].splitlines(keepends=True):
        name = line.strip("| \n").partition(" |")[0]
        if name in EXAMPLES:
            kept.setdefault(name, []).append(line)
    return block[1] + _tables({**kept, **found}) + block[3]


def _tables(found: Mapping[str, Sequence[str]]) -> str:
    text = ""
    for number, (title, columns) in enumerate(TABLES):
        rows = "".join(found[name][number] for name in EXAMPLES if name in found)
        text += f"\n{title}\n\n{_line(['example', *columns])}| :--- |{' ---: |' * len(columns)}\n{rows}"
    return text + "\n"


def _rows(one: Measured) -> list[str]:
    """Its row in each of the tables."""
    by_kind = {row.kind: row for row in one.table.rows}
    others = [by_kind[kind] for kind in TITLES]
    parts = [_share(one.parts, one.parts.by_part_gco2e.get(part)) for part in Part]
    return [
        _line([one.name, *map(_saved, others[1:])]),
        _line([one.name, *map(_waited, others)]),
        _line([one.name, *parts, _share(one.parts, one.parts.avoided_gco2e)]),
    ]


def _saved(row: PolicyRow) -> str:
    saved = row.savings
    if saved.mean_ratio is None or saved.high_ratio is None:
        return "" if saved.mean_ratio is None else f"{saved.mean_ratio:+.1%}"
    return f"{saved.mean_ratio:+.1%} ± {100 * (saved.high_ratio - saved.mean_ratio):.1f}"


def _waited(row: PolicyRow) -> str:
    wait_s, late = row.mean(waits_mean_s), row.mean(lambda side: side.deadline_misses) or 0.0
    if wait_s is None:
        return ""
    return f"{wait_s / _HOUR_S:.1f} ({late:g})"


def _share(parts: SavingsParts, grams_gco2e: float | None) -> str:
    if grams_gco2e is None or abs(grams_gco2e) < 5e-5 * parts.baseline_gco2e:
        return ""
    return f"{100 * grams_gco2e / parts.baseline_gco2e:+.1f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main()
