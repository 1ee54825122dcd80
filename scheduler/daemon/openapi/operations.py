"""Every route of the daemon with what it asks for and answers, by the name that it has in the tables of policies.

A new route is one entry here: `"METHOD /path": Operation(summary=..., answers={200: named("Job")})`. Its body is the
msgspec type that its handler reads; the schema of its answer gets a name in answers.py. `make docs` writes the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.batches import LONGEST_LIFE_S, SHORTEST_LIFE_S, UPLOAD_PURPOSES
from scheduler.daemon.batches_api import BatchFields
from scheduler.daemon.holding import DEADLINE_HEADER, PATIENCE_HEADER
from scheduler.daemon.jobs_api import MAX_PAGE
from scheduler.daemon.keys_api import KeyFields, RotationFields
from scheduler.daemon.model_routing import ECO_HEADER
from scheduler.daemon.openai_api import SERVICE_TIERS, Endpoint, fields_of
from scheduler.daemon.openapi.notation import (
    ANY_OBJECT,
    FORM,
    INSTANT,
    JSON,
    OCTETS,
    TEXT,
    Content,
    Json,
    Operation,
    list_of,
    named,
    one_of,
    states_of,
    whole_from,
)
from scheduler.daemon.quotas_api import QuotaFields
from scheduler.daemon.session_api import LoginFields
from scheduler.fine_tuning import FineTuningFields
from scheduler.first_plans import PlannedBy
from scheduler.jobs import JobState
from scheduler.keys import GRANTABLE
from scheduler.savings_by import By
from scheduler.submission import SubmissionFields

_LARGEST = 2**62
_STORE = (503,)
_BUSY = (429, 503)
_UNKNOWN = (404, 503)
_AFTER: Json = TEXT | {"description": "the last id of the page before"}
_TENANT: Json = TEXT | {"description": "of this tenant only"}
_BEFORE = whole_from(1, _LARGEST) | {"description": "next_before of the page before"}


def _listed(item: str, longest: int, default: int, **more: Json) -> dict[str, Any]:
    query = {"limit": whole_from(1, longest, default), "after": _AFTER, **more}
    return {"answers": {200: named(item)}, "query": query, "refusals": _UNKNOWN}


def _file(summary: str, *kinds: str) -> Operation:
    """A file that is sent from the disk, whole or a range of it."""
    held = Content(kinds=kinds, schema=TEXT | {"format": "binary"})
    answers: dict[int, Json | Content | None] = {200: held, 206: held, 304: None, 412: None, 416: None}
    ranges: Json = TEXT | {"description": "bytes=0-99"}
    return Operation(summary=summary, answers=answers, refusals=_UNKNOWN, headers={"Range": ranges})


# -- inference ---------------------------------------------------------------------------------------------------------

_MESSAGES: Json = list_of(ANY_OBJECT) | {"minItems": 1}
_PROMPT: Json = {"anyOf": [TEXT, list_of({}) | {"minItems": 1}]}
# What the types leave to the worker, and the bounds that the gateway holds.
_ASKED: Mapping[Endpoint, Json] = {
    Endpoint.CHAT: {"messages": _MESSAGES},
    Endpoint.COMPLETIONS: {"prompt": _PROMPT},
    Endpoint.EMBEDDINGS: {"input": _PROMPT},
    Endpoint.RESPONSES: {"input": _PROMPT},
}
_TIER: Json = {"anyOf": [one_of(*sorted(SERVICE_TIERS)), {"type": "null"}]}
_SUMMARIES = {
    Endpoint.CHAT: "Answer a conversation; other fields go to the worker as they are",
    Endpoint.COMPLETIONS: "Continue a text; other fields go to the worker as they are",
    Endpoint.EMBEDDINGS: "Embed texts; other fields go to the worker as they are",
    Endpoint.RESPONSES: "Answer as the worker's /v1/responses does; nothing is stored here",
}


def _inference(endpoint: Endpoint) -> Operation:
    return Operation(
        summary=_SUMMARIES[endpoint],
        body=fields_of(endpoint),
        more_fields={**_ASKED[endpoint], "service_tier": _TIER},
        headers={
            DEADLINE_HEADER: TEXT | {"description": "hold until a cleaner hour, until then at most: `4h` or ISO 8601"},
            ECO_HEADER: TEXT | {"description": "`1`: may wait, and the cheapest fit model of a pool will do"},
            PATIENCE_HEADER: TEXT | {"description": "seconds the client waits for the next byte"},
        },
        answers={200: Content(kinds=(JSON, "text/event-stream"), schema=named("Completion"))},
        refusals=("4XX", 429, 502, 503, 504),
    )


_INFERENCE: Mapping[str, Operation] = {
    **{f"POST {endpoint}": _inference(endpoint) for endpoint in Endpoint},
    "GET /v1/models": Operation(summary="The models served here", answers={200: named("ModelList")}),
    "GET /v1/models/{model}": Operation(summary="One model", answers={200: named("Model")}, refusals=(404,)),
}

# -- files and batches -------------------------------------------------------------------------------------------------

_UPLOAD: Json = {
    "type": "object",
    "properties": {
        "purpose": one_of(*sorted(UPLOAD_PURPOSES)),
        "expires_after[anchor]": one_of("created_at"),
        "expires_after[seconds]": whole_from(int(SHORTEST_LIFE_S), int(LONGEST_LIFE_S)),
        "file": TEXT | {"format": "binary"},
    },
    "required": ["purpose", "file"],
}
_FILES: Mapping[str, Operation] = {
    "POST /v1/files": Operation(
        summary="Upload a file for batches or fine-tunings",
        body=_UPLOAD,
        body_kind=FORM,
        answers={200: named("File")},
        refusals=_STORE,
    ),
    "GET /v1/files": Operation(
        summary="Files, newest first",
        **_listed("FileList", 10_000, 10_000, purpose=TEXT, order=one_of("asc", "desc")),
    ),
    "GET /v1/files/{id}": Operation(summary="One file", answers={200: named("File")}, refusals=_UNKNOWN),
    "GET /v1/files/{id}/content": _file("What is in a file, or a range of it", OCTETS),
    "DELETE /v1/files/{id}": Operation(summary="Delete a file", answers={200: named("DeletedFile")}, refusals=_UNKNOWN),
}
_BATCHES: Mapping[str, Operation] = {
    "POST /v1/batches": Operation(
        summary="Run the lines of a file within `completion_window`, in clean hours",
        body=BatchFields,
        answers={200: named("Batch")},
        refusals=(404, *_BUSY),
    ),
    "GET /v1/batches": Operation(summary="Batches, newest first", **_listed("BatchList", 100, 20)),
    "GET /v1/batches/{id}": Operation(summary="One batch", answers={200: named("Batch")}, refusals=_UNKNOWN),
    "GET /api/v1/batches/{id}/explain": Operation(
        summary="Why the lines of a batch wait or go, until when, and on which forecast",
        answers={200: named("BatchExplained")},
        refusals=_UNKNOWN,
    ),
    "POST /v1/batches/{id}/cancel": Operation(
        summary="Cancel a batch; what has been answered is kept", answers={200: named("Batch")}, refusals=_UNKNOWN
    ),
}

# -- fine-tunings ------------------------------------------------------------------------------------------------------

_TUNING = "/v1/fine_tuning/jobs"
_FINE_TUNINGS: Mapping[str, Operation] = {
    f"POST {_TUNING}": Operation(
        summary="Fine-tune a model that the settings name",
        body=FineTuningFields,
        answers={200: named("FineTuningJob")},
        refusals=(404, 422, *_BUSY),
    ),
    f"GET {_TUNING}": Operation(summary="Fine-tunings, newest first", **_listed("FineTuningJobList", 100, 20)),
    f"GET {_TUNING}/{{id}}": Operation(
        summary="One fine-tuning", answers={200: named("FineTuningJob")}, refusals=_UNKNOWN
    ),
    f"GET {_TUNING}/{{id}}/events": Operation(
        summary="What has happened, newest first", **_listed("FineTuningEventList", 100, 20)
    ),
    f"GET {_TUNING}/{{id}}/checkpoints": Operation(
        summary="Checkpoints that the trainer wrote down", **_listed("FineTuningCheckpointList", 100, 20)
    ),
    f"POST {_TUNING}/{{id}}/pause": Operation(
        summary="Put a fine-tuning on hold", answers={200: named("FineTuningJob")}, refusals=(409, *_UNKNOWN)
    ),
    f"POST {_TUNING}/{{id}}/resume": Operation(
        summary="Let a fine-tuning on hold go", answers={200: named("FineTuningJob")}, refusals=(409, *_UNKNOWN)
    ),
    f"POST {_TUNING}/{{id}}/cancel": Operation(
        summary="Cancel a fine-tuning", answers={200: named("FineTuningJob")}, refusals=(409, *_UNKNOWN)
    ),
}

# -- jobs --------------------------------------------------------------------------------------------------------------

_JOBS: Mapping[str, Operation] = {
    "POST /api/v1/jobs": Operation(
        summary="Submit a job to be done by its deadline, in clean hours",
        body=SubmissionFields,
        query={"dry_run": one_of("1", "true") | {"description": "plan it and submit nothing"}},
        headers={"Idempotency-Key": TEXT | {"description": "submitted again with this key, it is the same job"}},
        answers={200: {"anyOf": [named("Job"), named("JobDraft")]}, 201: named("Job")},
        refusals=(409, 422, *_BUSY),
    ),
    "GET /api/v1/jobs": Operation(
        summary="Jobs, newest first",
        query={
            "state": list_of(states_of(JobState)),
            "tenant": _TENANT,
            "limit": whole_from(1, MAX_PAGE, 100),
            "before": _BEFORE,
        },
        answers={200: named("JobList")},
        refusals=_STORE,
    ),
    "GET /api/v1/jobs/{id}": Operation(summary="One job", answers={200: named("Job")}, refusals=_UNKNOWN),
    "GET /api/v1/jobs/{id}/explain": Operation(
        summary="Why a job is where it is in the plan", answers={200: named("JobExplained")}, refusals=_UNKNOWN
    ),
    "GET /api/v1/jobs/{id}/output": _file("The answers of an inference batch so far", "application/x-ndjson"),
    "GET /api/v1/jobs/{id}/log": _file("What the latest attempt wrote to its output and error", "text/plain"),
    "POST /api/v1/jobs/{id}/cancel": Operation(
        summary="Cancel a job", answers={200: named("Job")}, refusals=(409, *_UNKNOWN)
    ),
    "POST /api/v1/jobs/{id}/pause": Operation(
        summary="Put a job on hold until it is let go", answers={200: named("Job")}, refusals=(409, *_UNKNOWN)
    ),
    "POST /api/v1/jobs/{id}/resume": Operation(
        summary="Let a job on hold go: it is planned again", answers={200: named("Job")}, refusals=(409, *_UNKNOWN)
    ),
    "POST /api/v1/jobs/{id}/requeue": Operation(
        summary="Let a job out of quarantine", answers={200: named("Job")}, refusals=(409, *_UNKNOWN)
    ),
    "GET /api/v1/plan": Operation(summary="Where and when every open job runs", answers={200: named("Plan")}),
}

# -- grids, accounts, the daemon ---------------------------------------------------------------------------------------

_LOOKS: Mapping[str, Operation] = {
    "GET /api/v1/intensity": Operation(
        summary="What is known of each zone's grid, now and ahead",
        query={"zone": TEXT},
        answers={200: named("Intensity")},
        refusals=(404,),
    ),
    "GET /api/v1/intensity/past": Operation(
        summary="What each grid emitted in the last 24 hours", answers={200: named("PastIntensity")}
    ),
    "GET /api/v1/savings": Operation(
        summary="Energy and emissions beside running everything at once, of 30 days where `since` is left out",
        query={"since": INSTANT, "tenant": _TENANT},
        answers={200: named("Savings")},
        refusals=_STORE,
    ),
    "GET /api/v1/savings/by": Operation(
        summary="The account by day, month, tenant, model or kind of work",
        query={"group": states_of(By)},
        answers={200: named("SavingsBy")},
        refusals=_STORE,
    ),
    "GET /api/v1/savings/planned": Operation(
        summary="What plans expected of jobs that succeeded, beside what became of them; sorted where `group` is given",
        query={"group": states_of(PlannedBy)},
        answers={200: {"anyOf": [named("SavingsPlanned"), named("SavingsPlannedBy")]}},
        refusals=_STORE,
    ),
    "GET /api/v1/requests/{id}": Operation(
        summary="What became of one request, by its x-request-id",
        answers={200: named("Request")},
        refusals=_UNKNOWN,
    ),
    "GET /api/v1/events": Operation(
        summary="What the status page shows, as server-sent events: everything once, then each change",
        query={"after": TEXT | {"description": "the mark of the last event, where Last-Event-ID cannot be sent"}},
        answers={200: Content(kinds=("text/event-stream",), schema=TEXT)},
        refusals=_STORE,
    ),
    "GET /api/v1/budgets": Operation(
        summary="What each budget has left", query={"tenant": _TENANT}, answers={200: named("BudgetList")}
    ),
    "GET /api/v1/quotas": Operation(summary="What tenants have used this month", answers={200: named("QuotaList")}),
    "GET /api/v1/quotas/{tenant}": Operation(
        summary="What one tenant may use, and has used this month", answers={200: named("OneQuota")}
    ),
    "POST /api/v1/quotas/{tenant}": Operation(
        summary="Set what a tenant may use, in place of what it might",
        body=QuotaFields,
        answers={200: named("OneQuota")},
        refusals=(409, *_STORE),
    ),
    "POST /api/v1/quotas/{tenant}/clear": Operation(
        summary="Take a tenant's limits away", answers={200: named("OneQuota")}, refusals=(409, *_STORE)
    ),
    "GET /api/v1/status": Operation(summary="The daemon at a glance", answers={200: named("Status")}, refusals=_STORE),
    "GET /healthz": Operation(summary="Whether the process answers", answers={200: named("Alive")}),
    "GET /readyz": Operation(
        summary="Whether it is ready to serve", answers={200: named("Ready"), 503: named("Ready")}
    ),
    "GET /metrics": Operation(
        summary="Metrics for Prometheus", answers={200: Content(kinds=("text/plain",), schema=TEXT)}
    ),
    "GET /openapi.json": Operation(summary="This document", answers={200: named("ThisDocument")}),
    "GET /": Operation(summary="The status page", answers={200: Content(kinds=("text/html",), schema=TEXT), 304: None}),
    "GET /page/{name}": Operation(
        summary="A file of the status page",
        answers={200: Content(kinds=("text/css", "text/javascript", "image/svg+xml"), schema=TEXT), 304: None},
        refusals=(404,),
    ),
}

# -- keys --------------------------------------------------------------------------------------------------------------

_KEYS: Mapping[str, Operation] = {
    "POST /api/v1/keys": Operation(
        summary="Make a key",
        body=KeyFields,
        more_fields={"scopes": list_of(one_of(*GRANTABLE)) | {"minItems": 1}},
        answers={201: named("NewKey")},
        refusals=_STORE,
    ),
    "GET /api/v1/keys": Operation(summary="Keys, ended ones too", answers={200: named("KeyList")}, refusals=_STORE),
    "POST /api/v1/keys/{id}/revoke": Operation(
        summary="End a key at once", answers={200: named("Key")}, refusals=(409, *_UNKNOWN)
    ),
    "POST /api/v1/keys/{id}/rotate": Operation(
        summary="Make a new key in place of an old one, which stays good for the overlap",
        body=RotationFields,
        answers={201: named("RotatedKey")},
        refusals=(409, *_UNKNOWN),
    ),
    "GET /api/v1/audit": Operation(
        summary="Who did what, newest first",
        query={"limit": whole_from(1, 1000, 100), "before": _BEFORE},
        answers={200: named("AuditList")},
        refusals=_STORE,
    ),
    "POST /api/v1/session": Operation(
        summary="Log in with a key; the answer sets a cookie", body=LoginFields, answers={201: named("Session")}
    ),
    "GET /api/v1/session": Operation(summary="Who is logged in", answers={200: named("Session")}),
    "DELETE /api/v1/session": Operation(summary="Log out", answers={204: None}),
}

OPERATIONS: Mapping[str, Operation] = {
    **_INFERENCE,
    **_FILES,
    **_BATCHES,
    **_FINE_TUNINGS,
    **_JOBS,
    **_LOOKS,
    **_KEYS,
}
