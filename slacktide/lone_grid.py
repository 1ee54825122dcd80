"""The grid of `slacktide run`: which feeds are asked, what became of it, and what a run emitted beside one at once."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from intensity_feeds.cache import IntensityCache
from intensity_feeds.fallback import Ladder, Outcome, Question
from intensity_feeds.feed import Answer, Feed, Rung
from intensity_feeds.series import IntensitySeries, MixedSignalsError
from intensity_feeds.trace import TraceError
from scheduler.config_text import SettingsError, read_settings
from scheduler.daemon.feeds import feed_of
from scheduler.ledger import Account, EnergyUse, realised_then_expected, settle
from scheduler.quantities import format_duration
from scheduler.region_settings import FeedKind, FeedSettings
from slacktide.intensity import ELECTRICITY_MAPS_TOKEN, WATTTIME_PASSWORD, WATTTIME_USER, FeedName
from slacktide.terminal import UsageProblem, say

_RUNG_TEXTS = {
    Rung.LIVE: "the live forecast",
    Rung.CACHED: "an earlier forecast",
    Rung.OWN_FORECAST: "our own forecast from its past",
    Rung.YEARLY_AVERAGE: "its yearly average, so nothing is gained by waiting,",
}


def feeds_of_settings(config: Path, zone: str) -> list[FeedSettings]:
    """The feeds that a daemon's settings name for the zone."""
    try:
        read = read_settings(config.read_text(encoding="utf-8"), str(config), os.environ)
    except OSError as error:
        raise UsageProblem(f"cannot read {config}: {error.strerror}") from None
    except SettingsError as error:
        raise UsageProblem(f"the settings cannot be used:\n{error}", f"slacktide config check -c {config}") from None
    return [one for one in read.settings.feed if zone in one.zones]


def feed_named(name: FeedName, zone: str, base_url: str) -> FeedSettings:
    """One service, with its keys from the usual environment variables."""
    return FeedSettings(
        kind=FeedKind(name),
        zones=(zone,),
        base_url=base_url,
        token_env=ELECTRICITY_MAPS_TOKEN,
        user_env=WATTTIME_USER,
        password_env=WATTTIME_PASSWORD,
    )


def usual_feeds(zone: str) -> list[FeedSettings]:
    """What can be asked without being told: the GB service for GB, else Electricity Maps where there is a token."""
    if zone == "GB" or zone.startswith("GB-"):
        return [feed_named(FeedName.UK_CARBON, zone, "")]
    if os.environ.get(ELECTRICITY_MAPS_TOKEN):
        return [feed_named(FeedName.ELECTRICITY_MAPS, zone, "")]
    return []


class LoneGrid:
    """One zone's ladder until `deadline_s`. What services said is kept across runs, what else said is not."""

    def __init__(self, zone: str, chosen: Sequence[FeedSettings], deadline_s: float, until_end: ExitStack) -> None:
        self._zone, self._deadline_s = zone, deadline_s
        logging.getLogger("intensity_feeds").addHandler(logging.NullHandler())  # told by _on_outcome, in fewer words
        self._said: set[str] = set()
        try:
            feeds: list[Feed] = [feed_of(one, os.environ) for one in chosen]
            cache = IntensityCache(_cache_folder(chosen, until_end))
            self._ladder = Ladder({zone: feeds}, cache, on_outcome=self._on_outcome)
        except (TraceError, MixedSignalsError, ValueError) as problem:
            raise UsageProblem(str(problem)) from None

    def answer(self, now_s: float) -> Answer | None:
        """What is known from now to the deadline."""
        answer = self._ladder.answer(self._zone, now_s, max(0.0, self._deadline_s - now_s))
        self._say_once(_described(self._zone, answer))
        return answer

    def account(self, uses: Sequence[EnergyUse], expected: IntensitySeries | None, now_s: float) -> Account:
        """Priced on what was realised as far as it is known by now, and on the forecast beyond."""
        if not uses:
            return settle(uses, {})
        start_s = min(use.at_once_at_s for use in uses)
        history = self._ladder.history(self._zone, start_s, now_s, now_s)
        known = realised_then_expected(history, expected)
        return settle(uses, {self._zone: known} if known else {})

    def _on_outcome(self, outcome: Outcome) -> None:
        if outcome.error is not None and outcome.question is Question.FORECAST:
            self._say_once(f"no news of the grid: {outcome.error}")

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            say(f"slacktide: {message}")


def _described(zone: str, answer: Answer | None) -> str:
    if answer is None:
        return f"nothing is known of {zone}: the command runs at once"
    text = _RUNG_TEXTS[answer.rung]
    age = f" {format_duration(answer.age_s)} old" if answer.rung is Rung.CACHED else ""
    return f"plans {zone} on {text}{age} from {answer.feed}"


def _cache_folder(chosen: Sequence[FeedSettings], until_end: ExitStack) -> Path:
    is_lasting = all(one.kind not in (FeedKind.TRACE, FeedKind.SYNTHETIC) and not one.base_url for one in chosen)
    if not is_lasting:  # another file or address may say something else next time
        return Path(until_end.enter_context(tempfile.TemporaryDirectory(prefix="slacktide-")))
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "slacktide" / "intensity"
