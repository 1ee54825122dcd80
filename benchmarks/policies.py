"""Every policy on every example: what each saves, how long work waits for it, and where our saving comes from.

    python -m benchmarks.policies [--write] [--only NAME]

`--write` puts the tables into docs/policies.md. Takes about five minutes of one core.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from simulations.comparison import ALL, TITLES, PolicyRow, PolicyTable, compared, waits_mean_s
from simulations.inputs import gather_inputs
from simulations.runs import Inputs
from simulations.savings_parts import Part, SavingsParts, savings_parts
from simulations.scenario_file import load_scenario

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "policies.md"
BLOCK = re.compile(r"(<!-- python -m benchmarks.policies --write -->\n).*?(<!-- end of measured -->)", re.DOTALL)

# Example and seeds: one where nothing is drawn that a policy could notice, or where a run takes minutes.
EXAMPLES = {
    "nightly-training": 1,
    "flex-week-gb": 5,
    "follow-the-sun": 5,
    "azure-conv-philly-de2022": 1,
    "night-batch": 5,
    "code-bursts": 1,
    "quiet-workers": 5,
}
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
    names = [asked.only] if asked.only else list(EXAMPLES)
    text = "".join(_tables([_measured(name) for name in names]))
    if asked.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(BLOCK.sub(lambda found: found[1] + text + found[2], page), encoding="utf-8")
    else:
        print(text, end="")


def _measured(name: str) -> Measured:
    results, table = compared(_inputs(name), ALL, count=EXAMPLES[name])
    return Measured(name=name, table=table, parts=savings_parts(results))


def _inputs(name: str) -> Iterator[Inputs]:
    loaded = load_scenario(str(ROOT / "examples" / f"{name}.toml"))
    for seed in range(loaded.scenario.seed, loaded.scenario.seed + EXAMPLES[name]):
        yield gather_inputs(replace(loaded, scenario=replace(loaded.scenario, seed=seed)))


def _tables(every: Sequence[Measured]) -> Iterator[str]:
    yield "\nSaved against running at once:\n\n"
    yield from _by_policy(every, _saved)
    yield "\nMean wait in hours, of jobs, else of requests that may wait; in brackets, how many are late:\n\n"
    yield from _by_policy(every, _waited)
    yield "\nWhere our own saving comes from, in per cent of running at once, under the seed in the file:\n\n"
    yield _line(["part", *(one.name for one in every)])
    yield _rule(len(every))
    for part in Part:
        if any(part in one.parts.by_part_gco2e for one in every):
            yield _line([part.value, *(_share(one.parts, one.parts.by_part_gco2e.get(part)) for one in every)])
    yield _line(["in all", *(_share(one.parts, one.parts.avoided_gco2e) for one in every)])
    yield "\n"


def _by_policy(every: Sequence[Measured], cell: Callable[[PolicyRow], str]) -> Iterator[str]:
    yield _line(["policy", *(one.name for one in every)])
    yield _rule(len(every))
    for kind, title in TITLES.items():
        rows = [next(row for row in one.table.rows if row.kind is kind) for one in every]
        yield _line([title, *(cell(row) for row in rows)])


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


def _rule(columns: int) -> str:
    return f"| :--- |{' ---: |' * columns}\n"


if __name__ == "__main__":
    main()
