"""What [[region.reserved]] and [[region.maintenance]] mean, and how a mistake in them is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduler.config_text import SettingsError, parse_settings, read_settings
from scheduler.regions_ahead import HELD_AHEAD_S, regions_ahead

REGION = '[[region]]\nname = "here"\nzone = "DE"\ngpus = 4\n[[feed]]\nkind = "synthetic"\nzones = ["DE"]\n'


def at_s(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def held(tables: str, now: str = "2022-03-04T00:00") -> list[tuple[str, str, int]]:
    settings = parse_settings(f"{REGION.partition('[[feed]]')[0]}{tables}\n", "slacktide.toml", {})
    (region,) = regions_ahead(settings.region, at_s(now))
    return [(_shown(one.start_at_s), _shown(one.end_at_s), one.gpus) for one in region.held]


def _shown(instant_s: float) -> str:
    return datetime.fromtimestamp(instant_s, UTC).strftime("%m-%dT%H")


def test_office_hours_are_held_every_week_as_far_as_anything_is_planned() -> None:
    # 2022-03-04 is a Friday.
    found = held('[[region.reserved]]\nfrom = "08:00"\nto = "18:00"\ndays = "Mon-Fri"\ngpus = 3')
    assert found[:2] == [("03-04T08", "03-04T18", 3), ("03-07T08", "03-07T18", 3)]
    assert len(found) == HELD_AHEAD_S / 86_400 * 5 / 7


def test_maintenance_takes_all_gpus_where_it_does_not_say_how_many_and_rules_add_up() -> None:
    found = held(
        '[[region.reserved]]\nfrom = "00:00"\nto = "06:00"\ndays = "Fri"\ngpus = 1\n'
        "[[region.maintenance]]\nfrom = 2022-03-04T02:00:00Z\nto = 2022-03-04T03:00:00Z\n"
        '[[region.maintenance]]\nfrom = "2022-03-01T02:00Z"\nto = "2022-03-01T03:00Z"'
    )
    assert found[:3] == [("03-04T00", "03-04T02", 1), ("03-04T02", "03-04T03", 4), ("03-04T03", "03-04T06", 1)]


@pytest.mark.parametrize(
    ("tables", "what"),
    [
        (
            '[[region.reserved]]\nfrom = "08:00"\nto = "18:00"\ngpus = 5',
            "slacktide.toml:8:1: gpus = 5 in a region of 4",
        ),
        ('[[region.reserved]]\nfrom = "8"\nto = "18:00"\ngpus = 1', 'is no time of day: write "08:00"'),
        ('[[region.reserved]]\nfrom = "08:00"\nto = "18:00"\ngpus = 1\ndays = "weekend"', "names no days"),
        ('[[region.reserved]]\nfrom = "08:00"\nto = "18:00"\ngpus = 1\ntimezone = "Here"', "no time zone 'Here'"),
        ('[[region.reserved]]\nform = "08:00"\nto = "18:00"\ngpus = 1', "did you mean 'from'?"),
        ('[[region.maintenance]]\nfrom = "2022-03-04T02:00"\nto = "2022-03-05T00:00Z"', "has no time zone"),
        ('[[region.maintenance]]\nfrom = "2022-03-04T02:00Z"\nto = "2022-03-03T00:00Z"', "to lies not after from"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_the_remedy(tables: str, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(f"{REGION.partition('[[feed]]')[0]}{tables}\n", "slacktide.toml", {})
    assert what in str(caught.value)
