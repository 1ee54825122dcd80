"""`slacktide submit`: hands a job, or a batch of requests, to the daemon. Reads and sends; the daemon judges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from slacktide.terminal import JSON_OPTION, UsageProblem, print_json, say

URL_OPTION = typer.Option("--url", envvar="SLACKTIDE_URL", help="Address of the daemon.")
DEFAULT_URL = "http://127.0.0.1:8080"


def submit(
    template: Annotated[str, typer.Option(help="Launch template of the daemon's settings.")] = "",
    arg: Annotated[list[str] | None, typer.Option(help="Value of a template's placeholder, NAME=VALUE.")] = None,
    batch: Annotated[
        Path | None, typer.Option(help="JSON lines with custom_id, method, url, body, as OpenAI's batches have them.")
    ] = None,
    duration: Annotated[str, typer.Option(help="How long it runs: 90m, 3h. A batch is estimated.")] = "",
    power: Annotated[str, typer.Option(help="IT power while it runs, of all GPUs and their hosts: 700W.")] = "",
    power_profile: Annotated[
        str, typer.Option(help="Phases whose power differs, instead of --duration and --power: 10m:3kW,2h:10kW.")
    ] = "",
    elastic: Annotated[
        str, typer.Option(help="Speed on each number of GPUs that it may be given at a start: 1:1,2:1.8,4:3.")
    ] = "",
    within: Annotated[str, typer.Option(help="Latest finish, counted from now: 12h.")] = "",
    deadline: Annotated[str, typer.Option(help="Latest finish, ISO 8601 with a zone; or use --within.")] = "",
    earliest_start: Annotated[str, typer.Option(help="Earliest start, ISO 8601 with a zone; else now.")] = "",
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs that it holds while it runs.")] = None,
    interruptible: Annotated[bool, typer.Option("--interruptible", help="May be paused and go on later.")] = False,
    checkpoint: Annotated[str, typer.Option(help="Time to write a checkpoint at a pause.")] = "",
    restore: Annotated[str, typer.Option(help="Time to load it again.")] = "",
    min_run: Annotated[str, typer.Option(help="Shortest piece worth running, without its overheads.")] = "",
    region: Annotated[list[str] | None, typer.Option(help="Region it may run in; repeat for several.")] = None,
    purpose: Annotated[str, typer.Option(help="development, ablation, final or production.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose work it is.")] = "",
    priority: Annotated[int, typer.Option(help="Higher is placed first.")] = 0,
    label: Annotated[str, typer.Option(help="A name for people.")] = "",
    idempotency_key: Annotated[str, typer.Option(help="The same key and job again: no second job.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say where and when it would run.")] = False,
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Submit a job to the daemon, which runs it in the cleanest time before its deadline.

    Example: slacktide submit --template evaluate --arg model=base --duration 3h --power 700W --within 12h

    Example: slacktide submit --batch requests.jsonl --within 6h

    A key of the daemon is taken from the environment variable SLACKTIDE_KEY.
    """
    if bool(template) == (batch is not None):
        raise UsageProblem("name exactly one of --template and --batch", "slacktide submit --help shows both")
    said: dict[str, Any] = {
        "template": template,
        "arguments": _arguments(arg or ()),
        "duration": duration,
        "power": power,
        "power_profile": power_profile,
        "elastic": elastic,
        "within": within,
        "deadline": deadline,
        "earliest_start": earliest_start,
        "gpus": gpus,
        "regions": region,
        "purpose": purpose,
        "tenant": tenant,
        "priority": priority,
        "label": label,
    }
    body = {name: value for name, value in said.items() if value or value == 0}
    body |= _pauses(interruptible=interruptible, checkpoint=checkpoint, restore=restore, min_run=min_run)
    if batch is not None:
        body |= {"kind": "inference_batch", "requests": _lines(batch)}
    _show(_posted(url, body, idempotency_key, is_dry=dry_run), is_dry=dry_run, as_json=as_json)


def _pauses(*, interruptible: bool, **said: str) -> dict[str, Any]:
    """What the body says of pauses, nothing where there are none."""
    durations = {name: text for name, text in said.items() if text}
    if durations and not interruptible:
        raise UsageProblem("--checkpoint, --restore and --min-run are about pauses", "add --interruptible")
    return {"interruptible": durations} if interruptible else {}


def _posted(url: str, body: dict[str, Any], idempotency_key: str, *, is_dry: bool) -> dict[str, Any]:
    from slacktide.daemon_client import DaemonClient

    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
    query = {"dry_run": "1"} if is_dry else {}
    return DaemonClient(url).post("jobs", body, headers=headers, **query)


def _show(answer: dict[str, Any], *, is_dry: bool, as_json: bool) -> None:
    from slacktide.job_text import draft_lines, job_lines

    if as_json:
        print_json(answer)
        return
    for line in draft_lines(answer) if is_dry else job_lines(answer):
        print(line)
    if not is_dry:
        say(f"slacktide show {answer['id']} tells how it goes")


def _arguments(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise UsageProblem(f"--arg {name}: a name and a value, please", "write, for instance, --arg model=base")
    return {name: value for name, _, value in pairs}


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a batch. Raises UsageProblem that names the line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return [_line(path, number, line) for number, line in numbered]


def _line(path: Path, number: int, line: str) -> dict[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON number")

    try:
        read = json.loads(line, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{path}:{number}: {error}", "each line is one JSON object") from None
    if not isinstance(read, dict):
        raise UsageProblem(f"{path}:{number}: is no JSON object", "each line has custom_id, method, url, body")
    return read
