"""Electricity Maps, WattTime and the GB Carbon Intensity API, emulated over a replayed trace."""

from __future__ import annotations

from simulations.feed_server.app import ANY_CREDENTIALS, FEED_SERVER, Credentials, FeedServer, build_app
from simulations.feed_server.faults import ALWAYS, NO_FAULTS, Faults, Span
from simulations.feed_server.replay_clock import ReplayClock, shifted

__all__ = [
    "ALWAYS",
    "ANY_CREDENTIALS",
    "FEED_SERVER",
    "NO_FAULTS",
    "Credentials",
    "Faults",
    "FeedServer",
    "ReplayClock",
    "Span",
    "build_app",
    "shifted",
]
