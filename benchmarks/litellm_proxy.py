"""LiteLLM's proxy as a process of a benchmark; it wants an environment of its own (pip install 'litellm[proxy]')."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import Process, pin

NAME = "LiteLLM proxy"
_STARTS_IN_S = 120.0
# Its table of prices otherwise comes from the network at each start, and it wants a key of its own.
_CHOSEN = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


@contextmanager
def litellm(program: str, upstream: str, model: str, core: int) -> Iterator[Process]:
    """Before a worker: one process on one core, nothing logged, no database."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        settings = Path(folder, "litellm.yaml")
        settings.write_text(
            f"model_list:\n  - model_name: {model}\n    litellm_params:\n      model: openai/{model}\n"
            f"      api_base: {upstream}/v1\n      api_key: unused\n"
        )
        command = [program, "--config", str(settings), "--host", "127.0.0.1", "--port", str(port)]
        with Path(folder, "log").open("w+") as log:
            process = subprocess.Popen(
                [*command, "--telemetry", "False"],
                env={**os.environ, **_CHOSEN},
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )
            try:
                pin(process.pid, core)
                _until_it_listens(process, port, Path(log.name))
                yield Process(port=port, id=process.pid)
            finally:
                process.terminate()
                process.wait()


def _until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    given_up_at_s = time.monotonic() + _STARTS_IN_S
    while process.poll() is None and time.monotonic() < given_up_at_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.2)  # another program starts
        else:
            return
    raise RuntimeError(f"{NAME} did not start: {log.read_text()[-500:]}")
