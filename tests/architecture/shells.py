"""Which modules may touch the outside. Every other module of the five packages is pure, new ones included."""

from __future__ import annotations

from tests.architecture.sources import matches

# Module or `package.*` -> what it does with the outside.
SHELLS: dict[str, str] = {
    "slacktide.*": "the command line",
    "scheduler.daemon.*": "the daemon: sockets, clock, threads",
    "scheduler.store.*": "the queue in a database",
    "scheduler.launchers.*": "processes",
    "scheduler.planning.one_job.compiled_loops": "looks whether a compiler is installed, and keeps what it compiled",
    "intensity_feeds.http": "calls services",
    "intensity_feeds.electricity_maps": "calls a service",
    "intensity_feeds.watttime": "calls a service",
    "intensity_feeds.uk_carbon": "calls a service",
    "intensity_feeds.trace": "names trace files",
    "intensity_feeds.trace_rows": "reads trace files",
    "intensity_feeds.price_trace": "names price files",
    "intensity_feeds.cache": "keeps answers on disk",
    "intensity_feeds.forecast_memory": "keeps errors of forecasts on disk",
    "intensity_feeds.fallback": "asks one feed after another, from several threads",
    "shaping.profiles": "reads the profiles that come with the package",
    "shaping.profiles.published": "looks up the profiles that come with the package",
    "simulations.notebook": "reads scenarios and draws for notebooks",
    "simulations.plot": "draws and writes a bitmap",
    "simulations.inputs": "gathers a scenario's traces and profiles",
    "simulations.compiled.build": "compiles, and keeps what it compiled on disk",
    "simulations.compiled.choice": "looks whether a compiler is installed",
    "simulations.compiled.parquet": "reads traces too long for the memory",
    "simulations.reproductions.catalogue": "reads the profiles that come with the package",
    "simulations.reproductions.figure": "draws and writes a bitmap",
    "simulations.reproductions.pack_files": "reads the inputs of published tables",
    "simulations.scenario_file": "reads scenario files",
    "simulations.sweep_files": "writes the tables of a sweep",
    "simulations.sweep_plot": "draws and writes a bitmap",
    "simulations.sweep_runs": "processes, and a file of finished runs",
    "simulations.sweep_ray": "a cluster, and files that travel to it",
    "simulations.trace_files": "reads trace files",
    "simulations.feed_server.*": "emulators on a port",
    "simulations.worker_server": "a simulated worker on a port",
    "simulations.worker_run": "the clock and the tasks of a simulated worker",
    "simulations.worker_metrics": "what a simulated worker exports to Prometheus",
}


def is_shell(module_name: str) -> bool:
    return any(matches(module_name, pattern) for pattern in SHELLS)
