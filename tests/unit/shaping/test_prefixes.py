"""An index of prefixes by hand-worked prompts: what is known, what goes first when room ends, who is preferred."""

from __future__ import annotations

import math

import pytest

from shaping.prefixes import MOST_BLOCKS, RUN_REQUESTS, PrefixIndex, Runs, load_slack, named_blocks, preferred

GREETING, FIRST, SECOND = b"You are kind. ", b"Tell me of wind", b"Tell me of rain"


def test_a_name_says_everything_up_to_the_end_of_its_block() -> None:
    one, other = named_blocks(b"aaaabbbbcccc", 4), named_blocks(b"aaaaXXXXcccc", 4)
    assert one[0] == other[0]
    assert one[1] != other[1]
    assert one[2] != other[2]  # the same bytes after other ones


def test_only_whole_blocks_are_named() -> None:
    assert len(named_blocks(b"aaaabbbbcc", 4)) == 2
    assert named_blocks(b"aaa", 4) == ()


def test_adapters_share_nothing() -> None:
    assert not set(named_blocks(b"aaaabbbb", 4, root=b"sql")) & set(named_blocks(b"aaaabbbb", 4))


def test_a_very_long_prompt_is_named_as_far_as_it_is_worth_it() -> None:
    assert len(named_blocks(b"a" * (MOST_BLOCKS + 5), 1)) == MOST_BLOCKS


def test_a_block_has_bytes() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        named_blocks(b"a", 0)


def test_what_was_touched_is_known_as_far_as_prompts_are_the_same() -> None:
    index = PrefixIndex(100)
    index.touch(named_blocks(GREETING + FIRST, 1))
    assert index.known(named_blocks(GREETING + SECOND, 1)) == len(GREETING) + len("Tell me of ")
    assert index.known(named_blocks(SECOND, 1)) == 0


def test_when_room_ends_the_leaf_used_longest_ago_goes_first() -> None:
    index = PrefixIndex(3)
    index.touch(named_blocks(b"ab", 1))
    index.touch(named_blocks(b"ac", 1))  # a, ab, ac
    index.touch(named_blocks(b"ad", 1))  # ab goes
    assert [index.known(named_blocks(text, 1)) for text in (b"ab", b"ac", b"ad")] == [1, 2, 2]


def test_a_prompt_longer_than_the_cache_leaves_its_beginning() -> None:
    index = PrefixIndex(2)
    index.touch(named_blocks(b"abcde", 1))
    assert index.known(named_blocks(b"abcde", 1)) == 2


def test_less_room_drops_what_is_oldest_and_no_room_everything() -> None:
    index = PrefixIndex(4)
    index.touch(named_blocks(b"ab", 1))
    index.touch(named_blocks(b"cd", 1))
    index.limit(3)
    assert (index.known(named_blocks(b"ab", 1)), index.known(named_blocks(b"cd", 1))) == (1, 2)
    index.limit(-1)
    assert len(index) == 0


# -- whom to prefer ----------------------------------------------------------------------------------------------------


def test_who_knows_the_prompt_is_preferred_while_about_as_idle() -> None:
    assert preferred([4.0, 5.0], [1.0, 1.0], [0, 3]) == 1
    assert preferred([4.0, 5.5], [1.0, 1.0], [0, 3]) == 0


def test_of_equals_the_idler_one_and_then_the_first() -> None:
    assert preferred([2.0, 1.5, 1.5], [1.0] * 3, [2, 2, 2]) == 1


def test_who_takes_nothing_is_not_preferred_whatever_he_knows() -> None:
    assert preferred([math.inf, 7.0], [1.0, 1.0], [9, 0]) == 1
    assert preferred([math.inf], [1.0], [9]) is None
    assert preferred([], [], []) is None


def test_a_small_worker_may_still_be_one_request_ahead() -> None:
    assert (load_slack(2), load_slack(256)) == (1.0, 32.0)


# -- runs --------------------------------------------------------------------------------------------------------------


def test_prompts_that_share_half_line_up_behind_the_first_of_them() -> None:
    runs = Runs()
    assert runs.place(named_blocks(b"wind1", 1), 1) == 1
    assert runs.place(named_blocks(b"rain1", 1), 2) == 2
    assert runs.place(named_blocks(b"wind2", 1), 3) == 1
    assert runs.place((), 4) == 4


def test_a_greeting_that_all_have_makes_no_run() -> None:
    runs = Runs()
    runs.place(named_blocks(b"hi " + b"wind and more", 1), 1)
    assert runs.place(named_blocks(b"hi " + b"rain and more", 1), 2) == 2


def test_a_run_is_not_endless() -> None:
    runs = Runs()
    places = [runs.place(named_blocks(b"wind", 1), sequence) for sequence in range(1, 2 * RUN_REQUESTS + 1)]
    assert places == [1] * RUN_REQUESTS + [RUN_REQUESTS + 1] * RUN_REQUESTS


def test_a_prefix_that_lined_up_in_a_newer_run_never_goes_back_to_an_older_one() -> None:
    runs = Runs()
    texts = (b"ba", b"bba", b"b", b"ba", b"b")
    assert [runs.place(named_blocks(text, 1), sequence) for sequence, text in enumerate(texts)] == [0, 1, 1, 0, 1]
