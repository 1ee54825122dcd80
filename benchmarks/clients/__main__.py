"""Public clients, and real engines, with a gateway and a worker that really run.

    python -m benchmarks.clients [--only NAME ...] [--in NAME=FOLDER ...] [--write]

Each peer gets a virtual environment of its own, thrown away afterwards, unless `--in` names one to use (made and filled
if it is not there). What cannot be had or started here is printed as not run, with the reason. `--write` puts the table
into benchmarks/clients.md. Exit code 1 where something was not as it should be.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clients import aiperf, engine_checks, engines, langchain, llm_command
from benchmarks.clients.checks import Check, NotRunError
from benchmarks.clients.environments import Environment, created
from benchmarks.clients.stand import StandError, before, simulated
from benchmarks.clients.tiny_model import NAME

TABLE = Path("benchmarks/clients.md")
_BEGIN, _END = "<!-- table -->", "<!-- end of table -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    peer: str
    version: str
    check: Check


Peer = Callable[[Path, Path], Iterator[Row]]


def _langchain(home: Path, folder: Path) -> Iterator[Row]:
    peer = _installed(home, langchain.DISTRIBUTION)
    with simulated(folder) as stand:
        yield from _rows(peer, langchain.DISTRIBUTION, langchain.without_tools(peer, stand))


def _llm(home: Path, folder: Path) -> Iterator[Row]:
    peer = _installed(home, llm_command.DISTRIBUTION)
    with simulated(folder) as stand:
        yield from _rows(peer, llm_command.DISTRIBUTION, llm_command.checks(peer, stand, folder / "llm"))


def _aiperf(home: Path, folder: Path) -> Iterator[Row]:
    peer = _installed(home, aiperf.DISTRIBUTION)
    with simulated(folder) as stand:
        yield from _rows(peer, aiperf.DISTRIBUTION, aiperf.checks(peer, stand, folder))


def _vllm(home: Path, folder: Path) -> Iterator[Row]:
    with engines.vllm(_made(home), folder) as engine:
        yield from _behind("vLLM", engine, home, folder)


def _llama_server(home: Path, folder: Path) -> Iterator[Row]:
    with engines.llama_server(_made(home), folder) as engine:
        yield from _behind("llama.cpp server", engine, home, folder)


def _behind(name: str, engine: engines.Engine, home: Path, folder: Path) -> Iterator[Row]:
    """An engine behind the gateway, asked by us and by a client that calls tools."""
    with before(folder, engine.url, NAME, engine=engine.kind) as stand:
        for check in engine_checks.checks(engine, stand):
            yield Row(peer=name, version=engine.version, check=check)
        client = _installed(home.with_name(f"{home.name}-langchain"), langchain.DISTRIBUTION)
        label = f"{langchain.DISTRIBUTION} with {name}"
        for check in langchain.with_tools(client, stand) if engine.keeps_grammars else langchain.chats(client, stand):
            yield Row(peer=label, version=client.version(langchain.DISTRIBUTION), check=check)


PEERS: Mapping[str, Peer] = {
    "langchain": _langchain,
    "llm": _llm,
    "aiperf": _aiperf,
    "vllm": _vllm,
    "llama-server": _llama_server,
}


def _made(home: Path) -> Environment:
    return Environment(folder=home) if (home / "bin" / "python").exists() else created(home)


def _installed(home: Path, distribution: str) -> Environment:
    peer = _made(home)
    peer.install(distribution)
    return peer


def _rows(peer: Environment, name: str, checks: Iterator[Check]) -> Iterator[Row]:
    version = peer.version(name)
    for check in checks:
        yield Row(peer=name, version=version, check=check)


def rows_of(name: str, home: Path | None) -> Iterator[Row]:
    """What one peer showed, or why it could not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield from PEERS[name](home or Path(folder) / "environment", Path(folder))
        except NotRunError as error:
            yield Row(peer=name, version="", check=Check(what="", found="", not_run=str(error)))
        except (StandError, subprocess.SubprocessError) as error:
            yield Row(peer=name, version="", check=Check(what="", found=str(error)[-300:], wrong=("broke off",)))


def line(row: Row) -> str:
    cells = (row.peer, row.version, row.check.what, row.check.found, row.check.outcome)
    return f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |"


def write(lines: list[str]) -> None:
    """Put the table where the page keeps it."""
    page = TABLE.read_text()
    head, _, rest = page.partition(_BEGIN)
    tail = rest.partition(_END)[2]
    TABLE.write_text("\n".join((f"{head}{_BEGIN}", *lines, f"{_END}{tail}")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--in", dest="homes", nargs="+", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--write", action="store_true", help=f"put the table into {TABLE}")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whoever is ended takes along what it started
    homes = {name: Path(folder).resolve() for name, _, folder in (one.partition("=") for one in chosen.homes)}
    lines = ["| peer | version | what | found | outcome |", "|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    is_wrong = False
    for name in chosen.only:
        for row in rows_of(name, homes.get(name)):
            lines.append(line(row))
            print(lines[-1], flush=True)
            is_wrong |= bool(row.check.wrong)
    if chosen.write:
        write(lines)
    return 1 if is_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
