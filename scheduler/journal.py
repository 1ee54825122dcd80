"""The journal's form: events and commands as JSON lines, and back. Replayed, the same commands come out.

One line is one call of `Engine.decide`: its instant, the events it was given, the commands it gave. The first line
names the regions and the planner. Writing the file is the daemon's business.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from intensity_feeds.feed import Rung
from intensity_feeds.series import Basis, IntensitySeries, Quality, Signal
from scheduler import events
from scheduler.engine import Engine
from scheduler.events import EVENT_ORDER, Command, Event, ForecastUpdated
from scheduler.planning.plan import Region
from scheduler.planning.planner import Planner

FORMAT_VERSION = 1
_EVENTS: dict[str, type] = {kind.__name__: kind for kind in EVENT_ORDER}
_COMMANDS: dict[str, type] = {kind.__name__: kind for kind in events.COMMANDS}


class JournalError(ValueError):
    """A line that is no entry; `line` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        self.line, self.what = line, what
        super().__init__(f"journal line {line}: {what}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One call of `decide`, with what came out."""

    now_s: float
    events: Sequence[Event]
    commands: Sequence[Command]


def encode_header(regions: Sequence[Region], planner_name: str) -> bytes:
    """The first line of a journal."""
    header = {"format": FORMAT_VERSION, "planner": planner_name, "regions": list(regions)}
    return msgspec.json.encode(header) + b"\n"


def encode_decision(decision: Decision) -> bytes:
    """One line of a journal."""
    entry = {
        "now_s": decision.now_s,
        "events": [_plain_event(event) for event in decision.events],
        "commands": [_tagged(command) for command in decision.commands],
    }
    return msgspec.json.encode(entry) + b"\n"


def decode(lines: Iterable[bytes]) -> tuple[list[Region], str, Iterator[Decision]]:
    """Regions, planner's name and decisions of a journal. A cut last line, as a crash leaves it, ends it quietly.

    Raises JournalError for anything else that is no entry.
    """
    numbered = enumerate(lines, start=1)
    header = _json(*next(numbered, (1, b"")))
    if header.get("format") != FORMAT_VERSION:
        raise JournalError(1, f"format {header.get('format')!r} is not {FORMAT_VERSION}: written by another version?")
    regions = msgspec.convert(header["regions"], list[Region])
    return regions, header["planner"], _decisions(numbered)


def replay(engine: Engine, decisions: Iterable[Decision]) -> Iterator[tuple[Decision, list[Command]]]:
    """Each recorded decision beside the commands that `engine` gives for the same events."""
    for decision in decisions:
        yield decision, engine.decide(decision.events, decision.now_s)


def fresh_engine(regions: Sequence[Region], planner: Planner) -> Engine:
    """The engine a journal starts from."""
    return Engine(regions=regions, planner=planner)


def _decisions(numbered: Iterator[tuple[int, bytes]]) -> Iterator[Decision]:
    for number, line in numbered:
        if not line.endswith(b"\n"):  # the write that the crash cut off was never acted upon
            return
        entry = _json(number, line)
        try:
            yield Decision(
                now_s=entry["now_s"],
                events=[_event(plain) for plain in entry["events"]],
                commands=[_untagged(plain, _COMMANDS) for plain in entry["commands"]],
            )
        except (KeyError, TypeError, msgspec.ValidationError) as error:
            raise JournalError(number, str(error)) from error


def _json(number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise JournalError(number, str(error)) from error
    if not isinstance(entry, dict):
        raise JournalError(number, "not an object")
    return entry


def _tagged(item: Any) -> dict[str, Any]:
    return {"type": type(item).__name__, **msgspec.to_builtins(item)}


def _untagged(plain: dict[str, Any], kinds: dict[str, type]) -> Any:
    fields = dict(plain)
    return msgspec.convert(fields, kinds[fields.pop("type")])


def _plain_event(event: Event) -> dict[str, Any]:
    if not isinstance(event, ForecastUpdated):
        return _tagged(event)
    series = None if event.series is None else _plain_series(event.series)
    return {"type": "ForecastUpdated", "at_s": event.at_s, "zone": event.zone, "series": series, "rung": event.rung}


def _event(plain: dict[str, Any]) -> Any:
    if plain["type"] != "ForecastUpdated":
        return _untagged(plain, _EVENTS)
    series = None if plain["series"] is None else _series(plain["series"])
    rung = None if plain["rung"] is None else Rung(plain["rung"])
    return ForecastUpdated(at_s=plain["at_s"], zone=plain["zone"], series=series, rung=rung)


def _plain_series(series: IntensitySeries) -> dict[str, Any]:
    values = [None if np.isnan(value) else value for value in series.gco2e_per_kwh.tolist()]
    labels = {name: getattr(series, name) for name in ("zone", "signal", "basis", "quality", "issued_at_s", "source")}
    return {"edges_at_s": series.edges_at_s.tolist(), "gco2e_per_kwh": values, **labels}


def _series(plain: dict[str, Any]) -> IntensitySeries:
    values = [np.nan if value is None else value for value in plain["gco2e_per_kwh"]]
    return IntensitySeries(
        zone=plain["zone"],
        edges_at_s=np.array(plain["edges_at_s"], dtype=np.float64),
        gco2e_per_kwh=np.array(values, dtype=np.float64),
        signal=Signal(plain["signal"]),
        basis=Basis(plain["basis"]),
        quality=Quality(plain["quality"]),
        issued_at_s=plain["issued_at_s"],
        source=plain["source"],
    )
