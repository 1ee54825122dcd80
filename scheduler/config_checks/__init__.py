"""What must hold between settings that are each valid alone. Reads no file and no clock; knows nothing of lines.

A finding is an error (the daemon does not start) or a warning (it starts, and saves less than it could).
"""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.config import Settings
from scheduler.config_checks.finding import Finding, repeated
from scheduler.config_checks.grid import feed_findings, objective_findings, region_findings
from scheduler.config_checks.server import oidc_findings, server_findings
from scheduler.config_checks.serving import agent_findings, model_pool_findings, worker_findings
from scheduler.config_checks.work import fine_tuning_findings, launch_findings, template_findings


def findings(settings: Settings) -> list[Finding]:
    """Everything that contradicts itself, in the order of the tables."""
    return [
        *server_findings(settings.server),
        *oidc_findings(settings.oidc),
        *_names(settings),
        *region_findings(settings),
        *objective_findings(settings),
        *feed_findings(settings.feed),
        *worker_findings(settings),
        *agent_findings(settings),
        *model_pool_findings(settings),
        *template_findings(settings),
        *launch_findings(settings),
        *fine_tuning_findings(settings),
    ]


def _names(settings: Settings) -> Iterator[Finding]:
    named = {
        "region": [one.name for one in settings.region],
        "template": [one.name for one in settings.template],
        "launch": [one.name for one in settings.launch],
        "tenant": [one.name for one in settings.tenant],
        "agent": [one.name for one in settings.agent],
    }
    for table, names in named.items():
        yield from repeated(table, "name", names)
    yield from repeated("worker", "url", [one.url.rstrip("/") for one in settings.worker])
