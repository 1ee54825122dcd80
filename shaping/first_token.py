"""How many prompt tokens workers may be given at once, so that the next request does not wait long for its first token.

An engine reads prompts in the order in which they come, so a crowd of deferred requests that lines up in front of an
interactive one keeps it from its first token for as long as their prompts take to read. Decides only that: whether the
prompts given to the workers, less what they have read since, leave room for one more deferred prompt. Knows no engine;
its speed is the energy model's.
"""

from __future__ import annotations

from shaping.energy import Deployment, step

STEP_TOKENS = 2048  # vLLM's default for online serving
_BESIDE_SEQUENCES, _CONTEXT_TOKENS = 32, 1000.0  # a pool that also decodes
_SHORTEST_WAIT_S = 1e-3  # far above what a clock of epoch seconds tells apart


def reading_tokens_per_s(deployment: Deployment, step_tokens: int = STEP_TOKENS) -> float:
    """How fast one worker reads prompts, so many tokens a step, while it decodes a middling batch."""
    return step_tokens / step(deployment, _BESIDE_SEQUENCES, _CONTEXT_TOKENS, step_tokens).duration_s


class UnreadPrompts:
    """Prompt tokens that the workers of a pool still have to read, by their speed; without one, nothing is limited."""

    __slots__ = ("_budget_s", "_per_worker_tokens_per_s", "_since_s", "_tokens", "workers")

    def __init__(self, budget_s: float | None, per_worker_tokens_per_s: float | None) -> None:
        self._budget_s, self._per_worker_tokens_per_s = budget_s, per_worker_tokens_per_s
        self._tokens, self._since_s = 0.0, 0.0
        self.workers = 1

    def given(self, prompt_tokens: int, now_s: float) -> None:
        """A request went to the workers."""
        if self._budget_s is not None and self._per_worker_tokens_per_s is not None:
            self._pass_time(now_s, self._per_worker_tokens_per_s)
            self._tokens += prompt_tokens

    def room_at_s(self, prompt_tokens: int, now_s: float) -> float:
        """When a deferred prompt may follow: now, or the later instant at which enough has been read.

        What is too long for the budget by itself follows once everything has been read.
        """
        if self._budget_s is None or self._per_worker_tokens_per_s is None:
            return now_s
        self._pass_time(now_s, self._per_worker_tokens_per_s)
        speed_tokens_per_s = self.workers * self._per_worker_tokens_per_s
        most_before_tokens = max(0.0, self._budget_s * speed_tokens_per_s - prompt_tokens)
        if self._tokens <= most_before_tokens:
            return now_s
        return now_s + max(_SHORTEST_WAIT_S, (self._tokens - most_before_tokens) / speed_tokens_per_s)

    def _pass_time(self, now_s: float, per_worker_tokens_per_s: float) -> None:
        read_tokens = max(0.0, now_s - self._since_s) * self.workers * per_worker_tokens_per_s
        self._tokens = max(0.0, self._tokens - read_tokens)
        self._since_s = now_s
