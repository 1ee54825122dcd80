"""An explanation in words and as JSON: the one home of each sentence, for the interface, the command line and pages.

Decides how a reason reads; computes nothing new. What is not known is left out of the words and null in the JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from intensity_feeds.feed import Rung
from scheduler.planning.curve import Intervals
from scheduler.planning.open_jobs.choices import Choice
from scheduler.planning.plan import Cause, Segment
from scheduler.planning.reasons.explanation import GRAMS_UNIT, Explanation, Ground, Limit, LimitKind
from scheduler.quantities import format_instant

Json = dict[str, Any]
# A saving below this share reads as nothing.
_LEAST_SHOWN_RATIO = 0.0005
# So many limits and stretches of taken hours are told in words; the JSON has all.
_SHOWN_LIMITS = 3
_SHOWN_STRETCHES = 3
_SHOWN_NAMES = 3

_RUNGS = {
    Rung.LIVE: "live forecast",
    Rung.CACHED: "cached forecast",
    Rung.OWN_FORECAST: "own forecast",
    Rung.YEARLY_AVERAGE: "yearly average",
}
# The name of each limit, how its sentence ends, and how its row in a table does.
_WORDS = {
    LimitKind.CAPACITY: ("capacity", "but others hold the room {taken}", "in hours that others hold"),
    LimitKind.POWER_CAP: ("power cap", "but others draw the power {taken}", "were there no power cap"),
    LimitKind.POOL: ("pool", "but {by} holds the room {taken}", "in hours that {by} holds"),
    LimitKind.HEAD_ROOM: ("head-room", "but those GPUs are kept free for jobs still to come", "without it"),
    LimitKind.POWER_CAP: ("power cap", "but the power cap leaves too little {taken}", "without the power cap"),
    LimitKind.HELD: ("held GPUs", "but GPUs are reserved or in maintenance {taken}", "on GPUs that are held"),
    LimitKind.BUDGET: ("budget", "but its tenant's budget pays from the next period on", "did the budget pay"),
    LimitKind.AFTER: ("order", "were it not for the order with {by}", "out of order with {by}"),
    LimitKind.DATA: ("data", "were its data there already", "were its data there"),
    LimitKind.OBJECTIVE_LIMIT: ("limit of the plan", "but the whole plan would be beyond it", "without it"),
    LimitKind.GPUS: ("GPUs", "had each region {by} GPUs more", "on more GPUs"),
    LimitKind.GPU_TYPES: ("GPU types", "were it allowed on those GPUs", "in {region}"),
    LimitKind.DEADLINE: ("deadline", "were there a day more", "with a day more"),
    LimitKind.EARLIEST_START: ("earliest start", "could it begin earlier", "if earlier"),
    LimitKind.REGIONS: ("allowed regions", "were it allowed there", "in {region}"),
    LimitKind.PLAN: ("plan", "which is free and which the plan has not taken", "is free"),
}


def sentences(explanation: Explanation) -> list[tuple[str, str]]:
    """Heading and sentence of everything there is to say, in the order of interest."""
    said = [("runs", _place(explanation.segments)), ("saves", _saving(explanation))]
    said += [
        ("held by" if number == 0 else "also by", _limit(one, explanation))
        for number, one in enumerate(explanation.limits[:_SHOWN_LIMITS])
    ]
    if explanation.emissions_gco2e is not None and not explanation.limits:
        said.append(("held by", _unheld(explanation)))
    if explanation.next_best is not None:
        said.append(("next best", _beside(explanation.next_best, explanation)))
    if explanation.on_more is not None:
        said.append(("more GPUs", _beside(explanation.on_more, explanation)))
    said += [("forecast", one) for one in _grounds(explanation.grounds)]
    return [(heading, sentence) for heading, sentence in said if sentence]


def one_line(explanation: Explanation) -> str:
    """What holds the job, for a row of a table."""
    if explanation.emissions_gco2e is None:
        return "forecast: nothing is known of that time"
    if not explanation.limits:
        return f"nothing: no place is {_better(explanation)}" if explanation.has_choice else "it has no choice any more"
    limit, emissions_gco2e = explanation.limits[0], explanation.emissions_gco2e
    if limit.instead is None or limit.saves_gco2e is None:
        return f"forecast: it ends {instant_text(limit.known_until_s or 0.0)}"
    name, _, briefly = _WORDS[limit.kind]
    share = f"{limit.saves_gco2e / abs(emissions_gco2e):.1%} less" if emissions_gco2e else "less"
    return f"{name}: {share} {briefly.format(region=limit.instead.region, by=_names(limit.by))}"


def as_json(explanation: Explanation) -> Json:
    """Every field; instants are ISO 8601 UTC. Amounts that are not grams are called `value`, not `gco2e`."""
    plain = _plain(explanation)
    return plain if explanation.unit == GRAMS_UNIT else _not_in_grams(plain)


def _not_in_grams(plain: Json) -> Json:
    return {
        key.replace("emissions_gco2e", "value").replace("gco2e", "value"): _renamed(one) for key, one in plain.items()
    }


def _renamed(one: Any) -> Any:
    if isinstance(one, list):
        return [_renamed(inner) for inner in one]
    return _not_in_grams(one) if isinstance(one, dict) else one


def _plain(explanation: Explanation) -> Json:
    return {
        "unit": explanation.unit,
        "cause": explanation.cause,
        "start": format_instant(explanation.start_at_s),
        "end": format_instant(explanation.end_at_s),
        "regions": list(explanation.regions),
        "emissions_gco2e": explanation.emissions_gco2e,
        "at_once": _at_once_json(explanation),
        "saves_gco2e": explanation.saves_gco2e,
        "saves_ratio": explanation.saves_ratio,
        "binds": explanation.binds,
        "limits": [_limit_json(one) for one in explanation.limits],
        "next_best": _beside_json(explanation.next_best, explanation),
        "gpus": _gpus_json(explanation.segments),
        "on_more_gpus": _beside_json(explanation.on_more, explanation),
        "forecasts": [_ground_json(one) for one in explanation.grounds],
        "says": [{"about": heading, "text": sentence} for heading, sentence in sentences(explanation)],
    }


# -- words -----------------------------------------------------------------------------------------------------------


def instant_text(instant_s: float) -> str:
    """`2022-03-01 12:00Z`: UTC to the nearest minute; the JSON is exact."""
    return format_instant(round(instant_s / 60.0) * 60.0).replace("T", " ").replace(":00Z", "Z")


def span_text(from_s: float, to_s: float) -> str:
    """`from 2022-03-01 12:00 to 14:20Z`; the second day only where it is another."""
    first, last = instant_text(from_s), instant_text(to_s)
    return f"from {first.removesuffix('Z')} to {last[11:] if first[:10] == last[:10] else last}"


def mass_text(emissions_gco2e: float) -> str:
    """Three digits or more: `0.42 g`, `812 g`, `1,204 g`."""
    return f"{_number(emissions_gco2e)} g"


def _amount(explanation: Explanation, cost: float) -> str:
    """In grams, dollars or units of a weighted objective."""
    shown = {GRAMS_UNIT: "g", "USD": "USD"}.get(explanation.unit, "of the objective")
    return f"{_number(cost)} {shown}"


def _number(cost: float) -> str:
    return f"{abs(cost):,.0f}" if abs(cost) >= 100 else f"{abs(cost):.3g}"


def _better(explanation: Explanation) -> str:
    return "cleaner" if explanation.unit == GRAMS_UNIT else "better"


def _place(segments: tuple[Segment, ...]) -> str:
    first, last = segments[0], segments[-1]
    where = ", then ".join(dict.fromkeys(one.region for one in segments))
    count = pieces_of(segments)
    pieces = f" in {count} pieces" if count > 1 else ""
    return f"in {where}{_on_gpus(segments)}{pieces} {span_text(first.start_at_s, last.end_at_s)}"


def pieces_of(segments: Sequence[Segment]) -> int:
    """How often it begins; a change of power or of GPUs on the way is no pause."""
    pairs = pairwise(segments)
    return 1 + sum(one.end_at_s < other.start_at_s - 1e-3 or one.region != other.region for one, other in pairs)


def _on_gpus(segments: Sequence[Segment]) -> str:
    """Said where the plan chose how many."""
    counts = [one.gpus for one in segments if one.gpus is not None]
    if not counts:
        return ""
    least, most = min(counts), max(counts)
    return f" on {most} GPU{'s' * (most > 1)}" if least == most else f" on {least} to {most} GPUs"


def _saving(explanation: Explanation) -> str:
    is_grams = explanation.unit == GRAMS_UNIT
    ratio, saves_gco2e, at_once = explanation.saves_ratio, explanation.saves_gco2e, explanation.at_once
    if explanation.cause is Cause.LATE:
        return "nothing: it cannot be in time any more, so it runs as early as it can"
    if explanation.emissions_gco2e is None:
        return "nothing that is known: the forecast does not reach, so it runs early"
    if saves_gco2e is None or ratio is None:
        return "an cost that is not known: what starting at once emits is not known"
    where = "" if at_once is None else f" in {at_once.region} at {instant_text(at_once.start_at_s)}"
    against = f"starting at once{where}"
    if abs(ratio) < _LEAST_SHOWN_RATIO:
        return f"nothing: {against} is as {'clean' if is_grams else 'good'}"
    if ratio < 0:
        more = f"{_amount(explanation, saves_gco2e)} ({-ratio:.1%}) more than {against}"
        return f"nothing: it emits {more}, so that others emit less" if is_grams else f"nothing: it costs {more}"
    return f"{_amount(explanation, saves_gco2e)} ({ratio:.1%}) against {against}"


def _limit(limit: Limit, explanation: Explanation) -> str:
    if limit.instead is None or limit.saves_gco2e is None:
        ends = instant_text(limit.known_until_s or 0.0)
        return f"the forecast's end at {ends}: nothing is assumed of the time after it"
    name, at_length, _ = _WORDS[limit.kind]
    share = limit.saves_gco2e / abs(explanation.emissions_gco2e) if explanation.emissions_gco2e else 0.0
    gain = f"{_amount(explanation, limit.saves_gco2e)} ({share:.1%}) less {_place(limit.instead.segments)}"
    if limit.kind is LimitKind.BUDGET and limit.by:
        return f"{name}: {gain}, but what {_names(limit.by)} may spend does not pay for it there"
    return f"{name}: {gain}, {at_length.format(taken=_stretches(limit.taken), by=_names(limit.by))}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_NAMES])
    return f"{shown} and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else shown


def _unheld(explanation: Explanation) -> str:
    if explanation.has_choice:
        return f"nothing: no place is {_better(explanation)}, whatever limit were lifted"
    return "" if explanation.cause is Cause.LATE else "its run: it has begun, and is not moved"


def _stretches(taken: Intervals) -> str:
    if not taken:
        return "there"
    shown = [span_text(from_s, to_s) for from_s, to_s in taken[:_SHOWN_STRETCHES]]
    more = [f"in {len(taken) - _SHOWN_STRETCHES} more stretches"] if len(taken) > _SHOWN_STRETCHES else []
    return " and ".join([*shown, *more])


def _beside(choice: Choice, explanation: Explanation) -> str:
    emissions_gco2e = explanation.emissions_gco2e or 0.0
    extra_gco2e = choice.emissions_gco2e - emissions_gco2e
    if abs(extra_gco2e) < _LEAST_SHOWN_RATIO * abs(emissions_gco2e):
        return f"{_place(choice.segments)}: as {'clean' if explanation.unit == GRAMS_UNIT else 'good'}"
    share = f" ({abs(extra_gco2e / emissions_gco2e):.1%})" if emissions_gco2e else ""
    word = "more" if extra_gco2e >= 0 else "less"
    return f"{_place(choice.segments)}: {_amount(explanation, extra_gco2e)}{share} {word}"


def _grounds(grounds: Sequence[Ground]) -> list[str]:
    """One sentence for all zones of which the same can be said."""
    zones: dict[str, list[str]] = {}
    for one in grounds:
        zones.setdefault(_ground(one), []).append(one.zone)
    return [f"of {', '.join(names)}: {what}" for what, names in zones.items()]


def _ground(ground: Ground) -> str:
    what = "recorded" if ground.rung is None else _RUNGS[ground.rung]
    issued = "" if ground.issued_at_s is None else f", issued {instant_text(ground.issued_at_s)}"
    return f"{what} from {ground.feed}{issued}, known until {instant_text(ground.known_until_s)}"


# -- JSON ------------------------------------------------------------------------------------------------------------


def _at_once_json(explanation: Explanation) -> Json:
    """Where is null in a daemon, which remembers what starting at once would have emitted, not where."""
    one = explanation.at_once
    return {
        "start": None if one is None else format_instant(one.start_at_s),
        "end": None if one is None else format_instant(one.end_at_s),
        "region": None if one is None else one.region,
        "emissions_gco2e": explanation.at_once_gco2e,
    }


def _choice_json(choice: Choice) -> Json:
    return {
        "start": format_instant(choice.start_at_s),
        "end": format_instant(choice.end_at_s),
        "region": choice.region,
        "pieces": pieces_of(choice.segments),
        "gpus": _gpus_json(choice.segments),
        "emissions_gco2e": choice.emissions_gco2e,
    }


def _limit_json(limit: Limit) -> Json:
    return {
        "limit": limit.kind,
        "saves_gco2e": limit.saves_gco2e,
        "instead": None if limit.instead is None else _choice_json(limit.instead),
        "taken": [{"start": format_instant(from_s), "end": format_instant(to_s)} for from_s, to_s in limit.taken],
        "by": list(limit.by),
        "known_until": None if limit.known_until_s is None else format_instant(limit.known_until_s),
    }


def _gpus_json(segments: Sequence[Segment]) -> Json | None:
    counts = [one.gpus for one in segments if one.gpus is not None]
    return {"least": min(counts), "most": max(counts)} if counts else None


def _beside_json(choice: Choice | None, explanation: Explanation) -> Json | None:
    emissions_gco2e = explanation.emissions_gco2e
    if choice is None or emissions_gco2e is None:
        return None
    return {**_choice_json(choice), "extra_gco2e": choice.emissions_gco2e - emissions_gco2e}


def _ground_json(ground: Ground) -> Json:
    return {
        "zone": ground.zone,
        "feed": ground.feed,
        "rung": ground.rung,
        "issued_at": None if ground.issued_at_s is None else format_instant(ground.issued_at_s),
        "quality": ground.quality,
        "known_until": format_instant(ground.known_until_s),
    }
