"""`slacktide reproduce claims`: published claims beside what their own figures give. Prints; decides no verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slacktide.terminal import print_json

if TYPE_CHECKING:
    from shaping.calculators.claims import Claim

NAME = "claims"
ABOUT = "Published claims on energy and carbon, recomputed from their own figures"


def show_claims(as_json: bool) -> None:
    """All claims, as a table or as JSON."""
    from shaping.calculators.claims import claims

    if as_json:
        rows = [_row(one) for one in claims()]
        print_json({"name": NAME, "rows": rows})
        return
    _print_table()


def _row(one: Claim) -> dict[str, Any]:
    said = {"name": one.name, "claim": one.claim, "inputs": one.inputs}
    return {**said, "recomputed": dict(one.recomputed_table), "verdict": one.verdict.value, "why": one.why}


def _print_table() -> None:
    from rich.console import Console
    from rich.table import Table

    from shaping.calculators.claims import claims

    table = Table(box=None, pad_edge=False, show_lines=False, padding=(0, 2, 1, 0))
    for heading in ("claim", "inputs", "recomputed", "verdict"):
        table.add_column(heading, overflow="fold")
    for one in claims():
        numbers = "\n".join(f"{name} {amount:,.4g}" for name, amount in one.recomputed_table.items())
        table.add_row(f"{one.name}: {one.claim}", one.inputs, numbers or "-", f"{one.verdict.upper()}: {one.why}")
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)
