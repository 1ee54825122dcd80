"""`slacktide router`: trains the estimate behind `model: "auto"`, and says what it is worth on queries it never saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slacktide.columns import UNKNOWN, aligned
from slacktide.terminal import JSON_OPTION, OwnFailure, UsageProblem, print_json, reason_of, say

if TYPE_CHECKING:
    from simulations.router_curve import Curve, Interval

router_app = typer.Typer(no_args_is_help=True, help="Which model is good enough for which query.")

_J_PER_KWH = 3.6e6
_HEAD = ("STRONG CALLS", "ACCURACY", "LOW", "HIGH", "RANDOM", "GAP RECOVERED", "LOW", "HIGH")


@router_app.command("train")
def train(
    data: Annotated[Path, typer.Option(help="CSV or CSV.gz: query, subject, weak_correct, strong_correct.")],
    out: Annotated[Path, typer.Option(help="Where to write the model, a JSON file.")],
) -> None:
    """Learn from judged answers when a query needs the strong model.

    Example: slacktide router train --data judged.csv.gz --out router.json

    Each column NAME_correct (0 or 1) becomes an estimate of how likely NAME answers well. Nothing is drawn at random.
    """
    import json

    from shaping.router_model import to_document
    from shaping.router_training import train as train_on
    from slacktide.judged_rows import judged_rows

    model = train_on(judged_rows(data))
    text = json.dumps(to_document(model), indent=1, allow_nan=False)
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OwnFailure(f"{out} cannot be written: {reason_of(error)}") from None
    learned = f"{model.queries} queries of {len(model.subjects)} subjects, penalty {model.penalty_factor:g}"
    say(f"wrote {out}: {', '.join(model.heads)}; {learned}")


@router_app.command("evaluate")
def evaluate(
    model: Annotated[Path, typer.Option(help="A file that `slacktide router train` wrote.")],
    data: Annotated[Path, typer.Option(help="Judged queries that it was not trained on, with the same columns.")],
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Rank other queries by the router's score alone and show accuracy at 10% to 90% strong calls.

    Example: slacktide router evaluate --model router.json --data other.csv.gz

    Low and high are a 95% interval over queries drawn again. A subject seen in training is said so.
    """
    from shaping.router_model import STRONG, WEAK
    from simulations.router_curve import curve
    from slacktide.judged_rows import answered, judged_rows, read_router

    router, judged = read_router(model), judged_rows(data)
    if missing := [head for head in (WEAK, STRONG) if head not in router.heads]:
        raise UsageProblem(f"{model} has no estimate for {missing[0]}", "train on weak_correct and strong_correct")
    if known := sorted(set(filter(None, judged.subjects)) & set(router.subjects)):
        say(f"note: {len(known)} of these subjects were trained on, such as {known[0]}: the result flatters")
    found = curve(answered(judged), router.need_of(judged.queries))
    if as_json:
        print_json(_document(found))
        return
    print(aligned([_HEAD, *_rows(found)], right=range(len(_HEAD))))
    say(
        f"{found.queries} queries: weak {found.weak_ratio:.4f}, strong {found.strong_ratio:.4f}, "
        f"oracle {found.oracle_ratio:.4f}"
    )


@router_app.command("assign")
def assign(
    model: Annotated[Path, typer.Option(help="A file that `slacktide router train` wrote.")],
    data: Annotated[Path, typer.Option(help="CSV or CSV.gz with a column query; the rest is passed over.")],
    energy: Annotated[list[str], typer.Option(metavar="NAME=JOULES", help="Energy of one call; once per model.")],
    budget_kwh: Annotated[float, typer.Option(help="Energy that the whole batch may take.")],
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Give each query of a batch a model so that as many as possible are answered well within an energy budget.

    Example: slacktide router assign --model m.json --data b.csv --energy weak=363 --energy strong=2121 --budget-kwh 2

    One model's name per line, in the order of the rows.
    """
    import numpy as np

    from shaping.assignment import BudgetTooSmallError
    from shaping.assignment_proof import assign_optimally
    from slacktide.judged_rows import query_rows, read_router

    router = read_router(model)
    joules = _joules(energy, known=list(router.heads))
    chances = router.chances_of([row["query"] for row in query_rows(data)])
    quality = np.stack([chances[name] for name in joules], axis=1)
    if not 0 <= budget_kwh < float("inf"):
        raise UsageProblem(f"--budget-kwh {budget_kwh:g} is no amount of energy", "write a number of kWh")
    try:
        energies = np.broadcast_to(list(joules.values()), quality.shape)
        proven = assign_optimally(quality, energies, budget_kwh * _J_PER_KWH)
    except BudgetTooSmallError as error:
        least_kwh = error.least_j / _J_PER_KWH
        raise UsageProblem(str(error), f"set --budget-kwh to at least {least_kwh:.4g}") from None
    found, names = proven.assignment, list(joules)
    chosen = [names[column] for column in found.models.tolist()]
    facts = {
        "queries": len(chosen),
        "energy_kwh": found.energy_j / _J_PER_KWH,
        "expected_right": found.quality_ratio,
        "bound": found.bound_ratio,
        "gap_ratio": found.gap_ratio,
        "is_optimal": proven.is_optimal,
    }
    if as_json:
        print_json({**facts, "models": chosen})
        return
    print("\n".join(chosen))
    sure = "no better one exists" if proven.is_optimal else f"at most {found.gap_ratio:.4%} below the best"
    say(f"{len(chosen)} queries, {facts['energy_kwh']:.4g} kWh, {found.quality_ratio:.1f} expected right; {sure}")


def _joules(words: list[str], known: list[str]) -> dict[str, float]:
    """NAME=JOULES of each model, by name. Raises UsageProblem."""
    found: dict[str, float] = {}
    for word in words:
        name, separator, amount = word.partition("=")
        if not separator or name not in known:
            raise UsageProblem(f"--energy {word}: names no estimate of the model file", f"there are {', '.join(known)}")
        try:
            found[name] = float(amount)
        except ValueError:
            found[name] = -1.0
        if not 0 <= found[name] < float("inf"):
            raise UsageProblem(f"--energy {word}: {amount!r} is no energy", "write joules of one call, such as 363")
    return found


def _document(found: Curve) -> dict[str, Any]:
    points = [
        {
            "strong_share_ratio": point.strong_share_ratio,
            "accuracy_ratio": point.accuracy.ratio,
            "low": point.accuracy.low,
            "high": point.accuracy.high,
            "random_accuracy_ratio": point.random_accuracy_ratio,
            "recovered_gap": _interval(point.recovered_gap),
        }
        for point in found.points
    ]
    return {
        "points": points,
        "weak": found.weak_ratio,
        "strong": found.strong_ratio,
        "oracle": found.oracle_ratio,
        "apgr_ratio": found.apgr_ratio,
        "queries": found.queries,
    }


def _interval(one: Interval | None) -> dict[str, float] | None:
    return None if one is None else {"ratio": one.ratio, "low": one.low, "high": one.high}


def _rows(found: Curve) -> list[tuple[str, ...]]:
    return [
        (
            f"{point.strong_share_ratio:.0%}",
            *_shown(point.accuracy),
            f"{point.random_accuracy_ratio:.4f}",
            *_shown(point.recovered_gap),
        )
        for point in found.points
    ]


def _shown(one: Interval | None) -> tuple[str, str, str]:
    if one is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    return f"{one.ratio:.4f}", f"{one.low:.4f}", f"{one.high:.4f}"
