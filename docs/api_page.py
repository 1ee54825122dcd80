"""The page of the HTTP interface, from the document that the daemon serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scheduler.daemon.openapi.document import document
from scheduler.daemon.openapi.operations import OPERATIONS
from scheduler.keys import Asked

Json = Mapping[str, Any]

_TAGS = {
    "OpenAI": "What OpenAI's own clients call. [The gateway](../gateway.md), [batches](../batches.md) and "
    "[fine-tuning](../fine-tuning.md) tell the rest.",
    "Slacktide": "Jobs, plans, grids, accounts and keys. [Jobs](../jobs.md) and [keys](../keys.md) tell the rest.",
    "Daemon": "For probes, metrics and browsers.",
}


def api_page(policies: Mapping[str, Asked], generated: str) -> str:
    """Every route, its scope, what it takes and what it answers."""
    described = document(policies, version="")
    intro = (
        f"# HTTP interface\n\n{generated}\n{described['info']['description']}\n\n"
        "`GET /openapi.json` serves the same as OpenAPI 3.1, to anyone: it names nothing of an installation.\n\n"
        'Every refusal is `{"error": {"message", "type", "param", "code"}}`: `param` names the field or header that\n'
        "was wrong, `code` is for programs. Instants are ISO 8601 in UTC under `/api/v1` and seconds since 1970 under\n"
        "`/v1`.\n"
    )
    return intro + "".join(_part(described, tag) for tag in _TAGS)


def _part(described: Json, tag: str) -> str:
    shown = [
        (name, operation)
        for name in OPERATIONS
        if (operation := _of(described, name)) is not None and tag in operation["tags"]
    ]
    return f"\n## {tag}\n\n{_TAGS[tag]}\n" + "".join(_operation(described, name, one) for name, one in shown)


def _of(described: Json, name: str) -> Any:
    method, _, path = name.partition(" ")
    return described["paths"].get(path, {}).get(method.lower())


def _operation(described: Json, name: str, one: Json) -> str:
    scopes = " or ".join(f"`{scope}`" for scope in one["x-slacktide-scope"])
    answers = "".join(f"- {line}\n" for line in _answers(one))
    return f"\n### `{name}`\n\n{one['summary']}. Scope: {scopes}.\n\n{_taken(described, one)}{answers}"


def _taken(described: Json, one: Json) -> str:
    rows = [
        *(
            (f"`{taken['name']}`", taken["in"], taken["required"], taken["schema"])
            for taken in one.get("parameters", ())
        ),
        *_fields(described, one),
    ]
    lines = [
        f"| {name} | {place} | {_kind(described, schema)}{', required' if is_required else ''} | {_about(schema)} |\n"
        for name, place, is_required, schema in rows
    ]
    return f"| takes | in | kind | |\n|---|---|---|---|\n{''.join(lines)}\n" if lines else ""


def _fields(described: Json, one: Json) -> Iterator[tuple[str, str, bool, Json]]:
    for content in one.get("requestBody", {}).get("content", {}).values():
        schema = _meant(described, content["schema"])
        for name, field in schema["properties"].items():
            yield f"`{name}`", "body", name in schema.get("required", ()), field


def _answers(one: Json) -> Iterator[str]:
    done = {status: answer for status, answer in one["responses"].items() if status < "4" or "Error" not in str(answer)}
    for status, answer in done.items():
        if status == "4XX":
            continue
        kinds = ", ".join(_shown(kind, content["schema"]) for kind, content in answer.get("content", {}).items())
        yield f"{status}: {answer['description']}{f' ({kinds})' if kinds else ''}"
    refused = [f"{status}" for status in one["responses"] if status not in done or status == "4XX"]
    yield f"refused with {', '.join(refused)}"


def _shown(kind: str, schema: Json) -> str:
    names = [part["$ref"].rpartition("/")[2] for part in schema.get("anyOf", [schema]) if "$ref" in part]
    return " or ".join(f"`{name}`" for name in names) or f"`{kind}`"


def _meant(described: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found: Json = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _kind(described: Json, schema: Json) -> str:
    schema = _meant(described, schema)
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(described, one) for one in schema["anyOf"] if one != {"type": "null"})
    kind = schema.get("type", "anything")
    kinds = [kind] if isinstance(kind, str) else [one for one in kind if one != "null"]
    return " or ".join(_WORDS[one] for one in kinds) + _bounds(schema)


_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "array": "list",
    "object": "object",
    "anything": "anything",
}


def _bounds(schema: Json) -> str:
    return "".join(f" {word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema)


def _about(schema: Json) -> str:
    default = schema.get("default")
    said = f"default `{default}`" if default not in (None, "", [], {}) else ""
    return "; ".join(part for part in (str(schema.get("description", "")), said) if part)
