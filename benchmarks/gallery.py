"""The examples and what becomes of each when one value changes, as the page that shows them.

    python -m benchmarks.gallery [--write]

Every row is a command that anybody can run: `slacktide simulate examples/NAME.toml --set ...`. Takes a few minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from simulations.inputs import gather_inputs
from simulations.overrides import parse_override
from simulations.results import Results, results_of
from simulations.runs import run_both
from simulations.scenario_file import load_scenario

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "gallery.md"
KG_PER_G = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One example with the question it answers, variations of it, and what they show."""

    name: str
    question: str
    variations: Sequence[Sequence[str]]
    lesson: str


EXHIBITS = (
    Exhibit(
        name="follow-the-sun",
        question="Fine-tuning that may run in Sydney, Mumbai, Frankfurt or San Jose: what does moving it save?",
        variations=((), ('jobs.regions=["san-jose"]',), ("jobs.slack_s=6h",), ("jobs.interruptible_ratio=0",)),
        lesson="""
        At once means in the region named first, Sydney, whose grid burns coal; so most of what moving saves, staying in
        San Jose for good would save as well. The second row is that: compare its grams, not its share.
        """,
    ),
    Exhibit(
        name="night-batch",
        question="Chat, and four times as many requests that have until tomorrow, on the same two workers.",
        variations=((), ("requests.flex_deadline_s=6h",), ("requests.flex_ratio=0.3",)),
        lesson="""
        Two things save: the clean hours, and that requests which may wait go together in dense batches. On both sides
        the workers stay warm until the last answer of either, so a longer wait adds idle hours to both.
        """,
    ),
    Exhibit(
        name="nightly-training",
        question="Three hours of training every evening, done by morning: what does the slack buy, and the forecast?",
        variations=(
            (),
            ("jobs.slack_s=3h",),
            ("jobs.slack_s=14h",),
            ("forecast.kind=perfect",),
            ("forecast.kind=none",),
            ("region.pue=1.5",),
        ),
        lesson="""
        Without a forecast (a feed that is dead for two weeks) work runs at once and nothing is late. A worse PUE
        changes grams, not shares.
        """,
    ),
    Exhibit(
        name="code-bursts",
        question="An hour of code completion in bursts, held for up to a second: what does density save by itself?",
        variations=(
            (),
            ("policy.shaping=window",),
            ("policy.shaping=pass_through",),
            ("policy.interactive_hold_s=5s",),
        ),
        lesson="""
        Little, where nobody may wait: bursts come dense already, and idle workers draw their power either way.
        [Shaping](shaping.md#what-to-expect) says where more is to be had.
        """,
    ),
    Exhibit(
        name="quiet-workers",
        question="Four workers at low load: what does it save to let them sleep?",
        variations=((), ("requests.sleeps=false",), ("requests.min_awake=2",), ("requests.asleep_power_w=0W",)),
        lesson="""
        Half of the energy goes into idling; what a sleeping GPU still draws decides how much of it is left.
        """,
    ),
)
_INTRODUCTION = """
The scenarios in `examples/`, each on recorded grids, and what becomes of each when one value changes. A row is
`slacktide simulate examples/NAME.toml --set CHANGE`. Savings are signed, and against the same work at once; `late`
counts what is late under the policy, and in brackets at once.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/gallery.md")
    asked = parser.parse_args()
    text = "".join(_page())
    if asked.write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


def _page() -> Iterator[str]:
    yield f"# Gallery\n\n<!-- Written by `python -m benchmarks.gallery --write`. -->\n\n{_filled(_INTRODUCTION)}\n"
    for exhibit in EXHIBITS:
        yield f"\n## {exhibit.name}\n\n{exhibit.question}\n\n"
        yield "| change | at once, kg | policy, kg | saved | late |\n| :--- | ---: | ---: | ---: | ---: |\n"
        for changes in exhibit.variations:
            yield _row(changes, _results(exhibit.name, changes))
        yield f"\n{_filled(exhibit.lesson)}\n"


def _filled(text: str) -> str:
    return fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def _results(name: str, changes: Sequence[str]) -> Results:
    path = ROOT / "examples" / f"{name}.toml"
    return results_of(run_both(gather_inputs(load_scenario(str(path), [parse_override(one) for one in changes]))))


def _row(changes: Sequence[str], results: Results) -> str:
    at_once_kg, policy_kg = (side.emissions_gco2e * KG_PER_G for side in (results.baseline, results.policy))
    change = ", ".join(f"`{one}`" for one in changes) or "as it is"
    late = f"{results.policy.deadline_misses} ({results.baseline.deadline_misses})"
    return f"| {change} | {at_once_kg:.4g} | {policy_kg:.4g} | {results.savings_ratio:+.1%} | {late} |\n"


if __name__ == "__main__":
    main()
