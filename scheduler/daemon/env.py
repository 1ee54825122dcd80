"""The one door to the outside: clock, randomness, names, sleeping, threads.

Everything in the daemon that is not pure goes through one `Env`; the linter bans the ways around it. The wall clock is
derived from the event loop's own time and never summed, so that a loop with a virtual clock moves the whole daemon.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

# Calls of services outside that may hang at the same time; a zone polled is one of them.
MAX_CALLS = 32

_LOOK_UP_S = 5.0
P = ParamSpec("P")
T = TypeVar("T")


class Env:
    """The outside of one daemon. `speed` > 1 makes the policy clock run faster than the loop's, for demonstrations.

    Time-outs of network calls are always in real seconds; only `now_s` and `sleep_s` follow `speed`.
    """

    def __init__(
        self,
        *,
        epoch_s: float | None = None,
        speed: float = 1.0,
        seed: int | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.speed = speed
        self.random = random.Random(seed)  # seeded in tests; from the system's entropy otherwise
        self._executor = executor
        # Apart from the threads that read the database and start runs: what hangs outside must not keep those waiting.
        self._calls = executor or ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="slacktide-call")
        self._loop = asyncio.get_running_loop()
        # Real seconds that never jump, for latencies: the loop's own, as each request asks some ten times.
        self.monotonic_s: Callable[[], float] = self._loop.time
        self._loop_started_s = self._loop.time()
        self._follows_wall_clock = epoch_s is None and speed == 1.0
        self._epoch_s = time.time() if epoch_s is None else epoch_s  # noqa: TID251  this is the door

    def now_s(self) -> float:
        """UTC epoch seconds of the policy clock."""
        if self._follows_wall_clock:
            return time.time()  # noqa: TID251  follows NTP and a corrected clock
        return self._epoch_s + (self._loop.time() - self._loop_started_s) * self.speed

    async def sleep_s(self, duration_s: float) -> None:
        """Sleep `duration_s` of the policy clock."""
        await asyncio.sleep(max(0.0, duration_s) / self.speed)  # noqa: TID251

    def real_s(self, duration_s: float) -> float:
        """How many real seconds a duration of the policy clock lasts."""
        return duration_s / self.speed

    def new_id(self, prefix: str) -> str:
        """A name that no other process will choose: `prefix-` and 96 random bits in hexadecimal."""
        return f"{prefix}-{self.random.getrandbits(96):024x}"

    def new_secret(self) -> str:
        """256 random bits as text, from the system's own source: a seeded one could be guessed."""
        return secrets.token_urlsafe(32)

    async def addresses(self, host: str, port: int) -> list[str]:
        """What a name stands for by now. Raises OSError, TimeoutError included."""
        async with asyncio.timeout(_LOOK_UP_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [str(one[4][0]) for one in found]

    async def in_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking code on the executor of this Env (the loop's default, or an inline one under virtual time)."""
        return await self._loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    async def in_call_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a call of a service outside, which may hang until its time-out."""
        return await self._loop.run_in_executor(self._calls, lambda: function(*args, **kwargs))
