"""What `slacktide doctor` learns from the daemon that runs by these settings, if one does: what nobody else knows.

Asks over HTTP, on this machine's own address, with the key of SLACKTIDE_KEY where there is one. What was found out
without the daemon, such as a worker without `devices`, is not told again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from slacktide.doctor import Diagnosis, Verdict
from slacktide.terminal import OwnFailure, UsageProblem

if TYPE_CHECKING:
    from scheduler.config import Settings

SUBJECT = "daemon"
_TIMEOUT_S = 5.0
_FIXES = {
    "no worker is up": "start the servers of the [[worker]]s: the log names each by worker_down, with its remedy",
    "the disk is nearly full: no new work is admitted": "free some space where state_dir is",
    "the database can no longer be written": "look for store_broken in its log, mend the disk, and start it again",
    "the daemon is stopping": "none needed: it finishes what is under way",
    "the gateway is draining": "none needed: it finishes what is under way",
}
_LOOK = "look in its log: journalctl -u slacktide, or wherever it goes"


class _UntrustedError(Exception):
    """Who answers cannot show that it is who was called."""


def daemon(settings: Settings, environment: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Whether one answers where the settings say, whether it is ready, and what it complains of."""
    from scheduler.addresses import called_at

    url = environment.get("SLACKTIDE_URL", "").rstrip("/") if settings.server.tls_certificate else ""
    url = url or called_at(settings.server.host, settings.server.port, is_tls=bool(settings.server.tls_certificate))
    try:
        answer = _readiness(url)
    except _UntrustedError:
        fix = (
            "put its address, as its certificate has it, into SLACKTIDE_URL, and its authority into REQUESTS_CA_BUNDLE"
        )
        yield _told(Verdict.NOTE, f"the certificate at {url} is not one that is trusted here", fix)
        return
    if answer is None:
        fix = "none needed before the start; where one should run, start it: slacktide serve -c FILE"
        yield _told(Verdict.NOTE, f"none answers at {url}", fix)
        return
    if not isinstance(answer.get("problems"), list):
        fix = "stop what listens there, or set port in [server] to another"
        yield _told(Verdict.PROBLEM, f"something else than a daemon answers at {url}", fix)
        return
    yield from readiness(url, answer)
    yield from _with_a_key(url, environment)


def readiness(url: str, answer: Mapping[str, Any]) -> Iterator[Diagnosis]:
    """What `/readyz` says. Remarks are of zones, which are looked at one by one."""
    for problem in answer["problems"]:
        yield _told(Verdict.WARNING, f"{url} is not ready: {problem}", _FIXES.get(problem, _LOOK))
    if not answer["problems"]:
        yield _told(Verdict.OK, f"{url} is ready")


def workers(status: Mapping[str, Any]) -> Iterator[Diagnosis]:
    """How many take requests, and which are modelled though their GPUs are named."""
    up, configured = status["workers"]["up"], status["workers"]["configured"]
    if up < configured:
        fix = "its log names each by worker_down, with its remedy"
        yield _told(Verdict.WARNING, f"{up} of {configured} workers take requests", fix)
    elif configured:
        yield _told(Verdict.OK, f"{up} of {configured} workers take requests")
    for one in status["workers"].get("metering") or ():
        if one["problem"] and one["source"]:
            what = f"the energy of {one['worker']} is modelled: {one['problem']}"
            yield _told(Verdict.WARNING, what, one["fix"])


def jobs(status: Mapping[str, Any]) -> Iterator[Diagnosis]:
    """Those that wait for somebody."""
    if count := status["jobs"].get("quarantined", 0):
        what = f"{count} jobs failed again and again, and wait in quarantine"
        yield _told(Verdict.WARNING, what, "slacktide jobs --state quarantined, then slacktide requeue JOB")


def grids(intensity: Mapping[str, Any]) -> Iterator[Diagnosis]:
    """On which rung each zone stands."""
    for zone in intensity["zones"]:
        rung, name = zone.get("rung"), zone["zone"]
        if rung == "live":
            yield _told(Verdict.OK, f"the grid of {name} is live, by {zone['feed']}, {zone['age_s']:.0f} s old")
            continue
        stands = (
            f"stands on {rung.replace('_', ' ')}" if rung and rung != "unknown" else "is not known: work runs early"
        )
        fix = "slacktide doctor --online asks its feeds; feed_failed in the daemon's log says why"
        yield _told(Verdict.WARNING, f"the grid of {name} {stands}", fix)


def _with_a_key(url: str, environment: Mapping[str, str]) -> Iterator[Diagnosis]:
    from slacktide.daemon_client import DaemonClient

    try:
        client = DaemonClient(url, environment)
        status, intensity = client.get("status"), client.get("intensity")
    except UsageProblem as refused:
        fix = "put one that may read into SLACKTIDE_KEY: workers, meters, grids and jobs are then asked for"
        yield _told(Verdict.NOTE, f"it tells no more without another key: {refused.what}", fix)
        return
    except OwnFailure as failed:
        yield _told(Verdict.WARNING, f"{failed.what}", _LOOK)
        return
    yield from workers(status)
    yield from grids(intensity)
    yield from jobs(status)


def _readiness(url: str) -> Mapping[str, Any] | None:
    """None where nobody listens; empty for what is no daemon's answer. Raises _UntrustedError."""
    import requests

    with requests.Session() as session:
        session.trust_env = url.startswith("https:")  # no proxy leads to this machine, but its authority may be named
        try:
            answer = session.get(f"{url}/readyz", timeout=_TIMEOUT_S, allow_redirects=False).json()
        except requests.JSONDecodeError:
            return {}
        except requests.exceptions.SSLError:
            raise _UntrustedError from None
        except requests.ConnectionError:
            return None
        except requests.RequestException:
            return {}
    return answer if isinstance(answer, dict) else {}


def _told(verdict: Verdict, what: str, fix: str = "") -> Diagnosis:
    return Diagnosis(subject=SUBJECT, verdict=verdict, what=what, fix=fix)
