"""The columns of a trace file that hold intensities, and which question each answers. Reads nothing."""

from __future__ import annotations

from intensity_feeds.series import Basis, Signal

# Column of a trace -> what its numbers mean. The first that a file has is read unless another is asked for.
COLUMNS: dict[str, tuple[Signal, Basis]] = {
    "gco2e_per_kwh": (Signal.AVERAGE, Basis.LIFECYCLE),
    "marginal_gco2e_per_kwh": (Signal.MARGINAL, Basis.DIRECT),
    "direct_gco2e_per_kwh": (Signal.AVERAGE, Basis.DIRECT),
    "actual_gco2e_per_kwh": (Signal.AVERAGE, Basis.DIRECT),
}
