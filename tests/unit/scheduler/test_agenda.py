"""What comes next, of instants that are replaced and dropped."""

from __future__ import annotations

from scheduler.agenda import Agenda


def test_the_first_instant_ahead_comes_next() -> None:
    agenda = Agenda()
    agenda.put("a", (30.0, 10.0))
    agenda.put("b", (20.0,))
    assert agenda.first_s() == 10.0
    agenda.take_until(10.0)
    assert agenda.first_s() == 20.0
    agenda.take_until(30.0)
    assert agenda.first_s() is None


def test_new_instants_of_a_name_replace_its_old_ones() -> None:
    agenda = Agenda()
    agenda.put("a", (10.0,))
    agenda.put("a", (40.0,))
    assert agenda.first_s() == 40.0


def test_a_name_that_is_dropped_and_comes_back_has_only_its_new_instants() -> None:
    agenda = Agenda()
    agenda.put("a", (10.0,))
    agenda.drop("a")
    assert agenda.first_s() is None
    agenda.put("a", (10.0, 20.0))
    agenda.drop("a")
    agenda.put("a", (20.0,))
    assert agenda.take_until(15.0) == []
    assert agenda.take_until(20.0) == ["a"]


def test_what_was_taken_is_forgotten() -> None:
    agenda = Agenda()
    agenda.put("a", (10.0,))
    agenda.put("b", (5.0,))
    assert agenda.take_until(10.0) == ["b", "a"]
    assert agenda.take_until(10.0) == []
