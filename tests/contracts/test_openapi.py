"""`/openapi.json` is true: it has every route and no other, and a daemon answers as it says, whatever it is asked."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from aiohttp import ClientSession, FormData
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import Case, CheckFunction, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from yarl import URL

from scheduler.daemon.openapi.answers import SCHEMAS
from scheduler.daemon.openapi.document import UndocumentedRouteError, document
from scheduler.daemon.openapi.operations import OPERATIONS
from scheduler.daemon.policies import POLICIES
from scheduler.keys import Scope
from tests.batch_files import some_lines
from tests.contracts.test_openai_client_fine_tuning import EXAMPLES, TABLES
from tests.daemons import PATIENCE_S, a_daemon, a_submission, got, posted, until_state
from tests.integration.gateway_stand import CHAT, MODEL, FakeWorker

KEY = "a-key-of-the-settings-with-every-scope"
ENDLESS = {"/api/v1/events"}  # a stream that lasts as long as whoever listens; test_event_stream.py reads it
EXAMPLES_OF_EACH = 2  # of what fits the schema, and as many of what does not


def test_every_route_is_in_the_document_and_no_other() -> None:
    missing, gone = POLICIES.keys() - OPERATIONS.keys(), OPERATIONS.keys() - POLICIES.keys()
    assert not missing, str(UndocumentedRouteError(missing))
    assert not gone, f"{sorted(gone)}: take them out of OPERATIONS in scheduler/daemon/openapi/operations.py"


@pytest.mark.slow
def test_the_document_is_valid() -> None:
    validate(document(POLICIES, version="1"))


def test_a_route_without_a_description_is_named_with_what_to_do() -> None:
    with pytest.raises(UndocumentedRouteError, match=r"GET /api/v1/new: no entry in OPERATIONS .*operations\.py"):
        document({**POLICIES, "GET /api/v1/new": Scope.READ}, version="1")


def test_every_schema_is_used() -> None:
    text = str(document(POLICIES, version="1"))
    unused = [name for name in SCHEMAS if f"#/components/schemas/{name}'" not in text]
    assert not unused, f"{unused} in scheduler/daemon/openapi/answers.py belong to no answer"


def test_scopes_are_those_of_the_policies() -> None:
    paths = document(POLICIES, version="1")["paths"]
    assert paths["/v1/models"]["get"]["x-slacktide-scope"] == ["inference", "read"]
    assert paths["/openapi.json"]["get"]["security"] == []
    assert paths["/api/v1/keys"]["post"]["security"] == [{"bearer": []}, {"session": []}]


@pytest.mark.slow
async def test_a_daemon_answers_whatever_it_is_asked_as_documented(tmp_path: Path) -> None:
    tables: dict[str, Any] = {
        "server": {"port": 0, "state_dir": str(tmp_path), "drain_s": 2, "keys_sha256": [_sha256(KEY)]},
        "template": [*TABLES["template"], {"name": "sleep", "command": ["sleep", "{seconds}"]}],
        "fine_tuning": TABLES["fine_tuning"],
    }
    async with FakeWorker().listening() as worker:
        tables["worker"] = [{"url": worker.url, "models": [MODEL], "region": "here"}]
        async with a_daemon(tmp_path, tables, speed=60.0) as (daemon, client):
            client.headers["Authorization"] = f"Bearer {KEY}"
            _, served = await got(client, "/openapi.json")
            asking = Asking(daemon.listener.base_url, await _some_of_everything(client))
            await asyncio.to_thread(asking.ask_everything, closed(served))
    assert not asking.broken, "\n\n".join(asking.broken)
    unanswered = {label for label, statuses in asking.statuses.items() if min(statuses) >= 400}
    assert unanswered == NEVER_DONE, "nothing that was asked of these is ever done: name what is there in _Known"


@pytest.mark.slow
async def test_a_header_that_is_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (daemon, _):
        body = json.dumps(a_submission()).encode()
        head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nIdempotency-Key: \xff\xfe\r\n"
        told = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(daemon.listener.base_url.rpartition(":")[2]))
        writer.write(head + told + body)
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ") and b'"param":"Idempotency-Key"' in answer


@pytest.mark.slow
async def test_names_that_no_database_takes_are_refused(tmp_path: Path, url: str) -> None:
    server = {"port": 0, "state_dir": str(tmp_path), "drain_s": 2, "database_url": url}
    async with a_daemon(tmp_path, {"server": server}) as (_, client):
        for path in ("/api/v1/jobs/%00", "/v1/files?after=%00", "/api/v1/savings?tenant=%00"):
            async with client.get(URL(path, encoded=True)) as response:
                assert (response.status, (await response.json())["error"]["code"]) == (400, "bad_target")
        asked = {"input_file_id": "\0", "endpoint": CHAT, "completion_window": "24h"}
        status, refused = await posted(client, "/v1/batches", asked)
        assert (status, refused["error"]["param"]) == (404, "input_file_id")
        file = await _file(client, "batch", some_lines(1))
        with_metadata = {"input_file_id": file, "endpoint": CHAT, "metadata": {"a": "\0"}}
        status, refused = await posted(client, "/v1/batches", with_metadata)
        assert (status, refused["error"]["param"]) == (400, "metadata")


# -- asking ------------------------------------------------------------------------------------------------------------

# A job must have been lost three times, or be a batch that a worker has answered.
NEVER_DONE = {"POST /api/v1/jobs/{id}/requeue", "GET /api/v1/jobs/{id}/output"}


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What is there and works: names by operation or by the path before them, whole bodies, and fields of bodies."""

    names: Mapping[str, str]
    bodies: Mapping[str, Mapping[str, Any]]
    fields: Mapping[str, str]

    def put_into(self, case: Case[Any]) -> None:
        label, before = case.operation.label, case.operation.path.partition("/{")[0]
        for name in case.path_parameters:
            case.path_parameters[name] = self.names.get(label) or self.names[before]
        if label in self.bodies:
            case.body = dict(self.bodies[label])
        elif isinstance(case.body, dict):
            case.body.update({name: self.fields[name] for name in case.body if name in self.fields})


async def _some_of_everything(client: ClientSession) -> _Known:
    lines, training = await _file(client, "batch", some_lines(2)), await _file(client, "fine-tune", EXAMPLES)
    batch_body = {"input_file_id": lines, "endpoint": CHAT, "completion_window": "24h"}
    tuning_body = {"model": MODEL, "training_file": training}
    _, batch = await posted(client, "/v1/batches", batch_body)
    _, tuning = await posted(client, "/v1/fine_tuning/jobs", tuning_body)
    _, ended = await posted(client, "/api/v1/jobs", a_submission(within="65m"))
    _, waiting = await posted(client, "/api/v1/jobs", a_submission())
    _, held = await posted(client, "/api/v1/jobs", a_submission())
    _, held_tuning = await posted(client, "/v1/fine_tuning/jobs", tuning_body)
    question = {"model": MODEL, "messages": [{"role": "user", "content": "What is a slack tide?"}]}
    async with client.post(CHAT, json=question) as response:
        request_id = response.headers["x-request-id"]
    _, key = await posted(client, "/api/v1/keys", {"scopes": ["read"]})
    _, old_key = await posted(client, "/api/v1/keys", {"scopes": ["read"]})
    await until_state(client, ended["id"], "succeeded")
    return _Known(
        names={
            "/v1/files": lines,
            "DELETE /v1/files/{id}": await _file(client, "batch", some_lines(1)),
            "/v1/batches": batch["id"],
            "/api/v1/batches": batch["id"],
            "/v1/fine_tuning/jobs": tuning["id"],
            "/api/v1/jobs": ended["id"],
            "POST /api/v1/jobs/{id}/cancel": waiting["id"],
            "POST /api/v1/jobs/{id}/pause": held["id"],
            "POST /api/v1/jobs/{id}/resume": held["id"],
            "POST /v1/fine_tuning/jobs/{id}/pause": held_tuning["id"],
            "POST /v1/fine_tuning/jobs/{id}/resume": held_tuning["id"],
            "/api/v1/requests": request_id,
            "/api/v1/keys": key["id"],
            "/api/v1/quotas": "limited",
            "POST /api/v1/keys/{id}/rotate": old_key["id"],
            "/v1/models": MODEL,
            "/page": "app.js",
        },
        bodies={
            "POST /v1/batches": batch_body,
            "POST /v1/fine_tuning/jobs": tuning_body,
            "POST /api/v1/jobs": a_submission(),
            "POST /api/v1/keys/{id}/rotate": {"overlap": "1h"},
            "POST /api/v1/quotas/{tenant}": {"requests_per_month": 10},
            "POST /api/v1/session": {"key": KEY},
        },
        fields={"model": MODEL},
    )


async def _file(client: ClientSession, purpose: str, data: bytes) -> str:
    form = FormData()
    form.add_field("purpose", purpose)
    form.add_field("file", data, filename="lines.jsonl")
    async with client.post("/v1/files", data=form) as response:
        return str((await response.json())["id"])


class Asking:
    """Asks a daemon for everything, as it should be asked and as it should not."""

    def __init__(self, base_url: str, known: _Known) -> None:
        self._base_url, self._known = base_url, known
        self._session = requests.Session()
        self.broken: list[str] = []
        self.statuses: dict[str, set[int]] = defaultdict(set)

    def ask_everything(self, described: dict[str, Any]) -> None:
        with self._session:
            for found in schemathesis.openapi.from_dict(described).get_all_operations():
                assert isinstance(found, Ok), found
                operation = found.ok()
                if operation.path in ENDLESS:
                    continue
                can_be_wrong = operation.body or operation.query  # of a path every text is an id
                for mode in GenerationMode if can_be_wrong else (GenerationMode.POSITIVE,):
                    self._try(operation.as_strategy(generation_mode=mode))

    def _try(self, strategy: st.SearchStrategy[Case[Any]]) -> None:
        @settings(
            max_examples=EXAMPLES_OF_EACH,
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def ask(case: Case[Any]) -> None:
            # What a schema cannot say, such as which templates there are, is refused all the same.
            self._ask(case, but_for=[positive_data_acceptance])
            self._known.put_into(case)  # and what was made to be wrong may be right by that
            self._ask(case, but_for=[positive_data_acceptance, negative_data_rejection])

        ask()

    def _ask(self, case: Case[Any], *, but_for: list[CheckFunction]) -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = case.call(base_url=self._base_url, session=self._session, headers=headers, timeout=60.0)
        self.statuses[case.operation.label].add(answer.status_code)
        try:
            case.validate_response(answer, excluded_checks=but_for)
        except BaseExceptionGroup as failures:
            told = "\n".join(str(failure) for failure in failures.exceptions)
            self.broken.append(f"{case.operation.label}: {answer.status_code} {told}\n{case.as_curl_command()}")


def _sha256(key: str) -> str:
    return sha256(key.encode()).hexdigest()


# -- closing -----------------------------------------------------------------------------------------------------------


def closed(described: dict[str, Any]) -> dict[str, Any]:
    """The document with nothing more allowed in an answer than what it names."""
    components = described["components"]
    schemas = {name: _closed(one) if name in SCHEMAS else one for name, one in components["schemas"].items()}
    return {**described, "components": {**components, "schemas": schemas}}


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: _closed(one) for name, one in schema.items()}
    return {"additionalProperties": False, **inner} if isinstance(schema.get("properties"), dict) else inner
