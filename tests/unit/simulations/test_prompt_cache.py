"""What a cache of prompts spares, by hand: blocks of 16 tokens in a memory of 64."""

from __future__ import annotations

from simulations.prompt_cache import PromptCache


def a_cache(block_tokens: int = 16) -> PromptCache:
    return PromptCache(block_tokens, 64)


def test_what_was_kept_is_spared_but_the_last_token_is_read() -> None:
    cache = a_cache()
    cache.keep((1, 2), output_tokens=0)
    assert cache.spared_tokens((1, 2, 3), prompt_tokens=50) == 32
    assert cache.spared_tokens((1, 2), prompt_tokens=32) == 31
    assert cache.spared_tokens((7,), prompt_tokens=32) == 0


def test_generated_tokens_leave_less_room() -> None:
    cache = a_cache()
    cache.keep((1, 2, 3, 4), output_tokens=30)  # two blocks are left
    assert cache.spared_tokens((1, 2, 3, 4), prompt_tokens=64) == 32


def test_without_blocks_nothing_is_kept() -> None:
    cache = a_cache(block_tokens=0)
    cache.keep((1, 2), output_tokens=0)
    assert cache.spared_tokens((1, 2), prompt_tokens=50) == 0
