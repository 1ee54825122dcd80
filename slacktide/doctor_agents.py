"""What `slacktide doctor --online` finds out about the agents of the settings, and whether they meter their workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from slacktide.doctor import Diagnosis, Verdict

if TYPE_CHECKING:
    from scheduler.agent_settings import AgentSettings
    from scheduler.config import Settings
    from scheduler.gpu_report import Report, Unmetered


def agents(settings: Settings, environment: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Each agent, and each worker whose GPUs it should meter. Nothing of it keeps the daemon from running."""
    from scheduler.gpu_report import Unmetered

    for agent in settings.agent:
        found = _asked(agent, environment, settings.telemetry.stale_s)
        if isinstance(found, Unmetered):
            yield _unmetered(agent.name, found)
        elif found.problem:
            what = f"agent {agent.name} answers and meters nothing: {found.problem}"
            yield _unmetered(agent.name, Unmetered(what=what, remedy=found.remedy))
        else:
            shown = f"driver {found.driver}, NVML {found.nvml}, {len(found.gpus)} GPUs read {found.age_s:.1f} s ago"
            yield Diagnosis(subject=_subject(agent.name), verdict=Verdict.OK, what=f"{agent.url}: {shown}")
            yield from _workers(settings, agent.name, found)


def _asked(agent: AgentSettings, environment: Mapping[str, str], stale_s: float) -> Report | Unmetered:
    import requests
    from urllib3.exceptions import HTTPError

    from scheduler.gpu_report import MOST_BYTES, READINGS_PATH, Unmetered, read_answer, shown_token, silent, token_of

    token = token_of(agent.token_env, environment)
    if isinstance(token, Unmetered):
        return token
    try:
        with requests.Session() as session:
            session.trust_env = False  # as the daemon: no proxy between, and no other credentials
            response = session.get(
                agent.url.rstrip("/") + READINGS_PATH,
                headers={**shown_token(token), "Accept-Encoding": "identity"},
                timeout=agent.timeout_s,
                allow_redirects=False,
                stream=True,
            )
            body = response.raw.read(MOST_BYTES + 1)
            whole = body if len(body) <= MOST_BYTES else None
            return read_answer(agent.name, response.status_code, whole, stale_s)
    except (requests.RequestException, HTTPError, OSError) as error:
        return silent(agent.name, type(error).__name__)


def _workers(settings: Settings, name: str, report: Report) -> Iterator[Diagnosis]:
    from scheduler.gpu_report import Unmetered, of_devices

    for worker in settings.worker:
        if worker.agent != name:
            continue
        found = of_devices(report, worker.devices)
        if isinstance(found, Unmetered):
            told = Unmetered(what=f"{worker.url} is modelled: {found.what}", remedy=found.remedy)
            yield _unmetered(name, told)
        else:
            what = f"{worker.url} is metered: {', '.join(worker.devices)}"
            yield Diagnosis(subject=_subject(name), verdict=Verdict.OK, what=what)


def _unmetered(name: str, why: Unmetered) -> Diagnosis:
    return Diagnosis(subject=_subject(name), verdict=Verdict.WARNING, what=why.what, fix=why.remedy)


def _subject(name: str) -> str:
    return f"agent {name}"
