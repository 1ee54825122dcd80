"""Makes the runs of a sweep on a Ray cluster: each is one task on one core, wherever Ray finds room.

Traces travel with the tasks, so no machine needs the folder of the scenario; the package itself must be there, in the
same version. A shell: the cluster and files. Judges no result and keeps none.
"""

from __future__ import annotations

import importlib.metadata
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulations.scenario_file import LoadedScenario
from simulations.sweep import Measure
from simulations.sweep_runs import DoneRun, PlannedRun, SweepError, files_of, measures_of_scenario

_PACKAGE = "slacktide"
_WAIT_S = 1.0  # between two looks at Ctrl-C
_CONNECT_S = 10.0


def made_on_ray(runs: Sequence[PlannedRun], address: str) -> Iterator[DoneRun]:
    """The runs as they are done, in any order; `address` as `ray.init` takes it: HOST:PORT, ray://..., auto.

    Raises SweepError, and what a run raises.
    """
    with _cluster(address) as ray:
        carried = _Carried(ray)
        task = ray.remote(max_retries=3)(measured_elsewhere)
        version = importlib.metadata.version(_PACKAGE)
        pending = {_sent(task, run, carried, version): run for run in runs}
        try:
            while pending:
                done, _ = ray.wait(list(pending), timeout=_WAIT_S)
                for answer in done:
                    yield DoneRun(planned=pending.pop(answer), measures=_measures(ray, answer))
        finally:
            for answer in pending:
                ray.cancel(answer, force=True)


def measured_elsewhere(
    loaded: LoadedScenario, version: str, names: Sequence[str], *contents: bytes
) -> dict[str, Measure]:
    """One run on another machine: `contents` are those of the files called `names`. Raises what the run raises."""
    if (here := importlib.metadata.version(_PACKAGE)) != version:
        raise SweepError(f"a machine of the cluster has {_PACKAGE} {here}, not {version}", _install(version))
    with tempfile.TemporaryDirectory(prefix="slacktide-sweep-") as folder:
        copies = {}
        for place, (name, content) in enumerate(zip(names, contents, strict=True)):
            # What a file is read as goes by the end of its name.
            copies[name] = Path(folder) / f"{place}-{Path(name).name}"
            copies[name].write_bytes(content)
        return measures_of_scenario(replace(loaded, copies=copies))


class _Carried:
    """Files in the cluster's memory, each once."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._put: dict[Path, Any] = {}

    def file(self, path: Path) -> Any:
        if path not in self._put:
            self._put[path] = self._ray.put(path.read_bytes())
        return self._put[path]


def _sent(task: Any, run: PlannedRun, carried: _Carried, version: str) -> Any:
    # A file that is not there stays behind; the run says what is wrong.
    there = {name: path for name in files_of(run.loaded.scenario) if (path := run.loaded.path(name)).is_file()}
    return task.remote(run.loaded, version, list(there), *(carried.file(path) for path in there.values()))


def _measures(ray: Any, answer: Any) -> Mapping[str, Measure]:
    from ray.exceptions import RayError, RayTaskError

    try:
        measures: Mapping[str, Measure] = ray.get(answer)
    except RayTaskError as error:
        if isinstance(error.cause, ModuleNotFoundError):
            hint = _install(importlib.metadata.version(_PACKAGE))
            raise SweepError(f"a machine of the cluster lacks a package: {error.cause}", hint) from None
        raise error.cause from None
    except RayError as error:
        hint = "see ray status; the same command goes on where this stopped"
        raise SweepError(f"the cluster lost a run: {str(error).splitlines()[0]}", hint) from None
    return measures


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """The imported ray, connected. Raises SweepError."""
    try:
        import ray
    except ImportError:
        raise SweepError("Ray is not installed", "pip install 'slacktide[ray]'") from None
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (OSError, ValueError, RuntimeError) as error:
        what = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SweepError(f"no Ray cluster answers at {address}: {what}", "start one with: ray start --head") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray itself would go on trying for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()


def _install(version: str) -> str:
    return f"install {_PACKAGE}=={version} on every machine of the cluster, with Ray's own Python"
