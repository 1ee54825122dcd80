"""Blocks of prompts that a worker keeps for those that begin alike: one rule for every virtual worker.

Decides what the cache spares a prompt, and that blocks stay only where generated tokens leave room. Knows no clock.
"""

from __future__ import annotations

from shaping.prefixes import Prefix, PrefixIndex


class PromptCache:
    """Of one worker; without blocks it keeps and spares nothing."""

    def __init__(self, block_tokens: int, kv_tokens: float) -> None:
        self._block_tokens, self._kv_tokens = block_tokens, kv_tokens
        self._index = PrefixIndex(0)

    def spared_tokens(self, prefix: Prefix, prompt_tokens: int) -> int:
        """Of a prompt whose turn it is. Its last token is always read, for the first of the answer."""
        if not self._block_tokens:
            return 0
        known = self._index.known(prefix)
        self._index.touch(prefix[:known])
        return min(known * self._block_tokens, prompt_tokens - 1)

    def keep(self, prefix: Prefix, output_tokens: int) -> None:
        """A prompt has been read; so many tokens will there be of all answers that are being generated."""
        if self._block_tokens:
            self._index.limit(int((self._kv_tokens - output_tokens) // self._block_tokens))
            self._index.touch(prefix)
