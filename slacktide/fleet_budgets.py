"""[[budget]] of FLEET.toml: what a tenant may spend in a day or a month. Points at mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slacktide.fleet_tables import Tables

if TYPE_CHECKING:
    from scheduler.planning.whole_fleet.rules.budgets import Budget, Per


def budgets(tables: Tables) -> tuple[Budget, ...]:
    """One budget for each thing that a table limits."""
    return tuple(budget for number in range(len(tables.budgets)) for budget in _of_table(tables, number))


def _of_table(tables: Tables, number: int) -> list[Budget]:
    from scheduler.planning.whole_fleet.rules.budgets import Budget, Spent

    tenant, per = tables.text(("budget", number, "tenant"), "team"), _per(tables, number)
    found: list[Budget] = []
    for what in Spent:
        most_cost = tables.number(("budget", number, what), low=0.0)
        if most_cost is not None:
            found.append(Budget(tenant=tenant, what=what, most_cost=most_cost, per=per))
    if not found:
        raise tables.wrong(("budget", number), f"the budget of {tenant} limits nothing", f"write {', '.join(Spent)}")
    return found


def _per(tables: Tables, number: int) -> Per:
    from scheduler.planning.whole_fleet.rules.budgets import Per

    given = tables.value(("budget", number, "per"))
    if given is not None and given not in list(Per):
        raise tables.wrong(("budget", number, "per"), f"per = {given!r}", f"write {' or '.join(Per)}")
    return Per.DAY if given is None else Per(given)
