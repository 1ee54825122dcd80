"""Virtual time: the daemon's decisions on traces, simulated workers and emulated feeds.

For notebooks: `from simulations import Scenario, simulate`. Each name is loaded when it is first asked for, so that
`import simulations` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulations.notebook import Comparison, Result, Table, simulate
    from simulations.scenario import Scenario
    from simulations.scenario_tables import ScenarioError

__all__ = ["Comparison", "Result", "Scenario", "ScenarioError", "Table", "simulate"]

_HOMES = {
    "Comparison": "simulations.notebook",
    "Result": "simulations.notebook",
    "Scenario": "simulations.scenario",
    "ScenarioError": "simulations.scenario_tables",
    "Table": "simulations.notebook",
    "simulate": "simulations.notebook",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
