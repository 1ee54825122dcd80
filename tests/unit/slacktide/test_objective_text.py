"""What is said when a limit of the objective cannot be kept."""

from __future__ import annotations

from scheduler.planning.whole_fleet.choosing import LimitUnreachableError
from scheduler.planning.whole_fleet.objective import Limit, Limited
from slacktide.objective_text import unreachable


def test_a_limit_in_kilograms_is_told_in_kilograms() -> None:
    problem = unreachable(LimitUnreachableError(Limit(what=Limited.GCO2E, most_cost=100.0), 204.05, 203.0))

    assert problem.what == "no plan of these jobs can keep at_most_kgco2e = 0.1: the least found is 0.20405"
    assert problem.hint == "write at_most_kgco2e = 0.2040502 or more, or plan fewer jobs"


def test_what_is_not_proved_is_not_said_to_be() -> None:
    problem = unreachable(LimitUnreachableError(Limit(what=Limited.USD, most_cost=5.0), 6.0, 4.0))

    assert problem.what == "no plan found keeps at_most_usd = 5: the least found is 6"
