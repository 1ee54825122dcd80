"""`/openapi.json` is true: it has every route and no other, and a daemon answers as it says, whatever it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
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
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from scheduler.daemon.openapi.answers import SCHEMAS
from scheduler.daemon.openapi.document import UndocumentedRouteError, document
from scheduler.daemon.openapi.operations import OPERATIONS
from scheduler.daemon.policies import POLICIES
from scheduler.keys import Scope
from tests.batch_files import some_lines
from tests.contracts.test_openai_client_fine_tuning import EXAMPLES, TABLES
from tests.daemons import a_daemon, a_submission, got, posted
from tests.integration.gateway_stand import CHAT, MODEL, FakeWorker

KEY = "a-key-of-the-settings-with-every-scope"
ENDLESS = {"/api/v1/events"}  # a stream that lasts as long as whoever listens; test_event_stream.py reads it
EXAMPLES_OF_EACH = 3  # of what fits the schema, and as many of what does not


def test_every_route_is_in_the_document_and_no_other() -> None:
    missing, gone = POLICIES.keys() - OPERATIONS.keys(), OPERATIONS.keys() - POLICIES.keys()
    assert not missing, str(UndocumentedRouteError(missing))
    assert not gone, f"{sorted(gone)}: take them out of OPERATIONS in scheduler/daemon/openapi/operations.py"


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
        async with a_daemon(tmp_path, tables) as (daemon, client):
            client.headers["Authorization"] = f"Bearer {KEY}"
            _, served = await got(client, "/openapi.json")
            known = await _some_of_everything(client)
            broken = await asyncio.to_thread(lambda: list(_broken(daemon.listener.base_url, closed(served), known)))
    assert not broken, "\n\n".join(broken)


# -- asking ------------------------------------------------------------------------------------------------------------


async def _some_of_everything(client: ClientSession) -> Mapping[str, str]:
    """Ids of things that are there, by the path under which they are."""
    lines, training = await _file(client, "batch", some_lines(2)), await _file(client, "fine-tune", EXAMPLES)
    spare = await _file(client, "batch", some_lines(1))
    asked = {"input_file_id": lines, "endpoint": CHAT, "completion_window": "24h"}
    _, batch = await posted(client, "/v1/batches", asked)
    _, tuning = await posted(client, "/v1/fine_tuning/jobs", {"model": MODEL, "training_file": training})
    _, job = await posted(client, "/api/v1/jobs", a_submission())
    _, key = await posted(client, "/api/v1/keys", {"scopes": ["read"]})
    question = {"model": MODEL, "messages": [{"role": "user", "content": "What is a slack tide?"}]}
    async with client.post(CHAT, json=question) as response:
        request_id = response.headers["x-request-id"]
    return {
        "/v1/files": spare,
        "/v1/batches": batch["id"],
        "/v1/fine_tuning/jobs": tuning["id"],
        "/api/v1/jobs": job["id"],
        "/api/v1/keys": key["id"],
        "/api/v1/requests": request_id,
        "/v1/models": MODEL,
        "/page": "app.js",
        "input_file_id": lines,
        "training_file": training,
        "model": MODEL,
    }


async def _file(client: ClientSession, purpose: str, data: bytes) -> str:
    form = FormData()
    form.add_field("purpose", purpose)
    form.add_field("file", data, filename="lines.jsonl")
    async with client.post("/v1/files", data=form) as response:
        return str((await response.json())["id"])


def _broken(base_url: str, described: dict[str, Any], known: Mapping[str, str]) -> Iterator[str]:
    """What was not answered as documented, and how to ask it again."""
    with requests.Session() as session:
        for found in schemathesis.openapi.from_dict(described).get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            if operation.path in ENDLESS:
                continue
            can_be_wrong = operation.body or operation.query  # of a path every text is an id
            for mode in GenerationMode if can_be_wrong else (GenerationMode.POSITIVE,):
                yield from _tried(operation.as_strategy(generation_mode=mode), base_url, session, known)


def _tried(
    strategy: st.SearchStrategy[Case[Any]], base_url: str, session: requests.Session, known: Mapping[str, str]
) -> list[str]:
    broken = []

    @settings(
        max_examples=EXAMPLES_OF_EACH,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy, names_what_is_there=st.booleans())
    def ask(case: Case[Any], names_what_is_there: bool) -> None:
        if names_what_is_there:
            _name(case, known)
        answer = case.call(base_url=base_url, session=session, headers={"Authorization": f"Bearer {KEY}"}, timeout=10.0)
        try:
            # What a schema cannot say, such as which templates there are, is refused all the same.
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])
        except BaseExceptionGroup as failures:
            broken.append("\n".join(str(failure) for failure in failures.exceptions))

    ask()
    return broken


def _name(case: Case[Any], known: Mapping[str, str]) -> None:
    """Put names of what is there into a request."""
    for name in case.path_parameters:
        case.path_parameters[name] = known[case.operation.path.partition("/{")[0]]
    if isinstance(case.body, dict):
        case.body.update(
            {name: known[name] for name in ("model", "input_file_id", "training_file") if name in case.body}
        )


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
