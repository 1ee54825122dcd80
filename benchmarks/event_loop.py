"""An M/M/1 queue on the simulator's event loop and on SimPy, with the same arrivals and services: customers per second.

    python -m benchmarks.event_loop [--customers N] [--runs N]

Both serve every customer at the same instants, which is checked before a figure is printed. Runs take turns, so that a
noisy machine disturbs both alike; the medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simulations.loop import Loop, Priority

if TYPE_CHECKING:
    import simpy

LOAD_RATIO = 0.8
# Each customer arrives once and leaves once.
EVENTS_PER_CUSTOMER = 2


def main() -> None:
    asked = _arguments()
    for line in lines(asked.customers, asked.runs):
        print(line)


def lines(customers: int = 200_000, runs: int = 5) -> Iterator[str]:
    """The table."""
    rng = np.random.default_rng(0)
    gaps_s = rng.exponential(1.0, customers).tolist()
    services_s = rng.exponential(LOAD_RATIO, customers).tolist()
    sides: dict[str, Callable[[Sequence[float], Sequence[float]], list[float]]] = {"Slacktide": on_our_loop}
    try:
        import simpy  # noqa: F401  is it there?
    except ModuleNotFoundError:
        yield "SimPy: not run, it is not installed (pip install simpy)"
    else:
        sides["SimPy"] = on_simpy
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    left: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, side in sides.items():
            began_s = time.process_time()
            left[name] = side(gaps_s, services_s)
            seconds[name].append(time.process_time() - began_s)
    _check(left)
    yield from _table(seconds, customers)


def on_our_loop(gaps_s: Sequence[float], services_s: Sequence[float]) -> list[float]:
    """The instants at which the customers leave."""
    loop = Loop(0.0)
    waiting: deque[int] = deque()
    left: list[float] = []
    customers = iter(range(len(gaps_s)))
    is_busy = False

    def arrive(customer: int) -> None:
        nonlocal is_busy
        if is_busy:
            waiting.append(customer)
        else:
            is_busy = True
            serve(customer)
        expect_next()

    def expect_next() -> None:
        customer = next(customers, None)
        if customer is not None:
            loop.schedule(loop.now_s + gaps_s[customer], Priority.ARRIVAL, lambda: arrive(customer))

    def serve(customer: int) -> None:
        loop.schedule(loop.now_s + services_s[customer], Priority.FINISH, leave)

    def leave() -> None:
        nonlocal is_busy
        left.append(loop.now_s)
        if waiting:
            serve(waiting.popleft())
        else:
            is_busy = False

    expect_next()
    loop.run()
    return left


def on_simpy(gaps_s: Sequence[float], services_s: Sequence[float]) -> list[float]:
    """The same as SimPy's own documentation writes it: a process for each customer, a resource for the server."""
    import simpy

    environment = simpy.Environment()
    server = simpy.Resource(environment, capacity=1)
    left: list[float] = []

    def customer(service_s: float) -> Generator[simpy.Event, Any, None]:
        with server.request() as place:
            yield place
            yield environment.timeout(service_s)
        left.append(environment.now)

    def source() -> Generator[simpy.Event, Any, None]:
        for gap_s, service_s in zip(gaps_s, services_s, strict=True):
            yield environment.timeout(gap_s)
            environment.process(customer(service_s))

    environment.process(source())
    environment.run()
    return left


def _check(left: dict[str, list[float]]) -> None:
    first, *others = left.values()
    for other in others:
        np.testing.assert_allclose(first, other, rtol=1e-12)


def _table(seconds: dict[str, list[float]], customers: int) -> Iterator[str]:
    per_s = {name: customers / statistics.median(runs_s) for name, runs_s in seconds.items()}
    yield "| | customers/s | events/s |\n| :--- | ---: | ---: |"
    for name, rate in per_s.items():
        events = f"{EVENTS_PER_CUSTOMER * rate:,.0f}" if name == "Slacktide" else ""
        yield f"| {name} | {rate:,.0f} | {events} |"
    if "SimPy" in per_s:
        yield f"\n{per_s['Slacktide'] / per_s['SimPy']:.1f} times SimPy's customers per second."


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
