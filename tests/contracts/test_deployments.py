"""What is shipped to run the daemon elsewhere: each file is valid to its reader, and agrees with the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.main import get_command

from scheduler.config_checks import findings
from scheduler.config_text import read_settings
from scheduler.daemon.http import OWN_POLICIES
from slacktide.agent import DEFAULT_PORT
from slacktide.main import app
from tests.architecture.sources import ROOT

DEPLOY = ROOT / "deploy"
METRICS = ROOT / "docs" / "reference" / "metrics.md"
# The oldest version that is still maintained, and the newest that is known here.
KUBERNETES = ("1.34", "1.37")


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def manifests() -> list[Any]:
    return [
        one for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for one in documents(f"kubernetes/{path.name}")
    ]


def one_of(kind: str, name: str) -> Any:
    (found,) = [one for one in manifests() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("manifest", manifests(), ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_kubernetes_knows_every_field(manifest: Any, version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    manifest = one_of("StatefulSet", "slacktide")
    manifest["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, KUBERNETES[0], strict=True)


@pytest.mark.parametrize(
    "text",
    [
        (DEPLOY / "compose" / "slacktide.toml").read_text(),
        one_of("ConfigMap", "slacktide")["data"]["slacktide.toml"],
    ],
    ids=["compose", "kubernetes"],
)
def test_the_settings_that_are_shipped_have_no_mistake(text: str) -> None:
    environment = {"SLACKTIDE_SERVER__HOST": "0.0.0.0", "SLACKTIDE_SERVER__KEYS_SHA256": "0" * 64}
    read = read_settings(text, "slacktide.toml", environment)
    assert not read.warnings
    assert not findings(read.settings)


def test_probes_ask_what_the_daemon_answers_without_a_key() -> None:
    (container,) = one_of("StatefulSet", "slacktide")["spec"]["template"]["spec"]["containers"]
    asked = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {f"GET {path}" for path in asked} <= {route for route, scope in OWN_POLICIES.items() if scope == "open"}


def test_the_queue_has_one_writer() -> None:
    assert one_of("StatefulSet", "slacktide")["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [("StatefulSet", "slacktide"), ("Deployment", "slacktide-worker"), ("DaemonSet", "slacktide-agent")],
)
def test_nothing_runs_as_root_or_gains_rights(kind: str, name: str) -> None:
    pod = one_of(kind, name)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        limits = container["securityContext"]
        assert (limits["allowPrivilegeEscalation"], limits["readOnlyRootFilesystem"]) == (False, True)
        assert limits["capabilities"] == {"drop": ["ALL"]}


def test_the_image_has_what_the_package_is_made_of_and_no_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert {"slacktide", "scheduler", "intensity_feeds", "shaping", "simulations"} <= set(names)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in names:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name
    user = re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1]
    assert int(user) == one_of("StatefulSet", "slacktide")["spec"]["template"]["spec"]["securityContext"]["runAsUser"]


def test_compose_mounts_files_that_are_there() -> None:
    (services,) = [one["services"] for one in documents("compose/compose.yaml")]
    mounted = [volume.split(":")[0] for volume in services["slacktide"]["volumes"] if volume.startswith("./")]
    assert mounted
    for name in mounted:
        assert (DEPLOY / "compose" / name).is_file()


def test_agents_are_started_as_they_can_be_called() -> None:
    (container,) = one_of("DaemonSet", "slacktide-agent")["spec"]["template"]["spec"]["containers"]
    unit = (DEPLOY / "systemd" / "slacktide-agent.service").read_text()
    started = re.findall(r"^ExecStart=\S+ (.+)$", unit, re.MULTILINE)[0].split()
    commands: Any = get_command(app)
    for name, *options in (container["args"], started):
        assert name == "agent"
        assert commands.commands[name].make_context(name, options).params["port"] == DEFAULT_PORT
    assert f"{{port: {DEFAULT_PORT}, protocol: TCP}}" in (DEPLOY / "kubernetes" / "slacktide.yaml").read_text()
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"  # the one path that needs no token


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("name", ["slacktide.service", "slacktide-agent.service"])
def test_the_units_are_sound_and_exposed_little(tmp_path: Path, name: str) -> None:
    unit = tmp_path / name
    text = (DEPLOY / "systemd" / name).read_text()
    # The package does not stand in /opt on this machine; everything else of the unit is judged as it is.
    unit.write_text(re.sub(r"/opt/slacktide/bin/slacktide", "/bin/true", text))
    verified = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=180, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = [*("systemd-analyze", "security", "--offline=true", "--threshold=20"), str(unit)]
    exposed = subprocess.run(judged, capture_output=True, text=True, timeout=180, check=False)
    assert exposed.returncode == 0, exposed.stdout[-200:]


# -- the dashboard ----------------------------------------------------------------------------------------------------


def asked_of_prometheus() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana" / "slacktide.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def documented_metrics() -> dict[str, set[str]]:
    """Name as Prometheus stores it -> labels. A histogram is asked for by its buckets."""
    rows = re.findall(r"^\| `(slacktide_\w+)` \| ([\w, ]*) \|", METRICS.read_text(), re.MULTILINE)
    found = {name: {label.strip() for label in labels.split(",")} for name, labels in rows}
    return found | {f"{name}_bucket": labels | {"le"} for name, labels in found.items() if name.endswith("_seconds")}


@pytest.mark.parametrize("query", asked_of_prometheus())
def test_the_dashboard_asks_for_metrics_and_labels_that_there_are(query: str) -> None:
    known = documented_metrics()
    selectors = re.findall(r"(slacktide_\w+)\{([^}]*)\}", query)
    assert selectors, query
    for name, chosen in selectors:
        labels = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", chosen))
        grouped = {one.strip() for listed in re.findall(r"by \(([^)]*)\)", query) for one in listed.split(",")}
        assert labels | grouped <= known[name] | {"instance"}, query


def test_panels_neither_overlap_nor_leave_the_grid() -> None:
    panels = json.loads((DEPLOY / "grafana" / "slacktide.json").read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(x, y) for x in columns for y in rows}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
