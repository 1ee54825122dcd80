"""What a key and a quota cost one request, in microseconds of processor time.

    python -m benchmarks.door [--times 20000]

The best of five rounds: what else the machine does only ever adds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import count

from scheduler.keys import Key, Keyring, Scope, bootstrap_key, key_text, sha256_of
from scheduler.quotas import Limit, Meter, Reservation, What, Window

NOW_S = 1_767_225_600.0
KEYS = 1_000
ROUNDS = 5
LIMITS = [
    Limit(what=What.REQUESTS, window=Window.MINUTE, most_cost=1e9),
    Limit(what=What.TOKENS, window=Window.MINUTE, most_cost=1e12),
    Limit(what=What.GCO2E, window=Window.MONTH, most_cost=1e12),
]


def believing() -> Callable[[], None]:
    """A key among a thousand, beside one of the settings."""
    texts = [key_text(f"{number:012x}", f"{number:043d}") for number in range(KEYS)]
    ring = Keyring([bootstrap_key("ab" * 32)])
    ring.put(*(_key(number, text) for number, text in enumerate(texts)))
    shown = texts[KEYS // 2]
    return lambda: _done(ring.believed(shown, NOW_S))


def metering() -> Callable[[], None]:
    """Let in, told in headers, settled and priced: all that a quota does with one request."""
    meter, calls = Meter("red", LIMITS), count()

    def one() -> None:
        steady_s = next(calls) / 1_000
        reservation = meter.admit(100, now_s=NOW_S, steady_s=steady_s)
        assert isinstance(reservation, Reservation)
        meter.rates(steady_s)
        meter.settle(reservation, 50, steady_s=steady_s)
        meter.spend(energy_kwh=1e-3, emissions_gco2e=0.3, energy_usd=None, now_s=NOW_S, steady_s=steady_s)

    return one


def _key(number: int, text: str) -> Key:
    return Key(
        id=f"{number:012x}",
        tenant="red",
        scopes=(Scope.INFER,),
        key_sha256=sha256_of(text),
        created_at_s=NOW_S,
        created_by="anyone",
    )


def _done(_: object) -> None:
    pass


def best_us(work: Callable[[], None], times: int) -> float:
    """Processor time of one call."""
    took_s = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        for _ in range(times):
            work()
        took_s.append(time.process_time() - began_s)
    return min(took_s) / times * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20_000, help="calls in a round")
    times: int = parser.parse_args().times
    print(f"a key, of {KEYS} and one of the settings   {best_us(believing(), times):6.1f} us")
    print(f"a quota with {len(LIMITS)} limits                      {best_us(metering(), times):6.1f} us")


if __name__ == "__main__":
    main()
