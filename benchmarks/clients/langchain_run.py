"""What `langchain-openai` makes of a gateway; run by the interpreter of its own environment, not by ours.

    VENV/bin/python langchain_run.py BASE_URL MODEL CALL...

Prints one JSON document: what came back of each call, for the caller to judge. CALL names one of the functions below.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TIMEOUT_S = 60.0
TOOL = {
    "name": "hold_job",
    "description": "Hold a job until the grid is clean.",
    "parameters": {
        "type": "object",
        "properties": {"job": {"type": "string", "enum": ["job-7", "job-8"]}, "is_urgent": {"type": "boolean"}},
        "required": ["job", "is_urgent"],
        "additionalProperties": False,
    },
}


def _chat(base_url: str, model: str, **options: Any) -> Any:
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    return ChatOpenAI(
        base_url=base_url,
        api_key=SecretStr("unused"),
        model=model,
        timeout=TIMEOUT_S,
        max_retries=0,
        **{"max_tokens": 24, **options},
    )


def chat(base_url: str, model: str) -> dict[str, Any]:
    """A plain answer with the daemon's headers."""
    return _told(_chat(base_url, model, include_response_headers=True).invoke("When is the grid cleanest?"))


def stream(base_url: str, model: str) -> dict[str, Any]:
    """Chunks that add up to an answer with its usage."""
    chunks = list(_chat(base_url, model, stream_usage=True).stream("When is the grid cleanest?"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {**_told(whole), "chunks": len(chunks)}


def tools(base_url: str, model: str) -> dict[str, Any]:
    """A tool that must be called, plain."""
    chat_model = _chat(base_url, model, max_tokens=600).bind_tools([TOOL], tool_choice="hold_job", strict=True)
    return _told(chat_model.invoke("Hold job 7."))


def tools_stream(base_url: str, model: str) -> dict[str, Any]:
    """The same in pieces."""
    chat_model = _chat(base_url, model, max_tokens=600).bind_tools([TOOL], tool_choice="hold_job", strict=True)
    chunks = list(chat_model.stream("Hold job 7."))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {**_told(whole), "chunks": len(chunks)}


def structured(base_url: str, model: str) -> dict[str, Any]:
    """An answer held to a schema."""
    schema = {"title": "hold_job", **TOOL["parameters"]}  # type: ignore[dict-item]
    chat_model = _chat(base_url, model, max_tokens=600).with_structured_output(
        schema, method="json_schema", include_raw=True
    )
    found = chat_model.invoke("Hold job 7.")
    return {
        **_told(found["raw"]),
        "parsed": found["parsed"],
        "error": found["parsing_error"] and str(found["parsing_error"]),
    }


def embeddings(base_url: str, model: str) -> dict[str, Any]:
    """Two vectors; counting tokens first would fetch a table from the network."""
    from langchain_openai import OpenAIEmbeddings
    from pydantic import SecretStr

    client = OpenAIEmbeddings(
        base_url=base_url,
        api_key=SecretStr("unused"),
        model=model,
        timeout=TIMEOUT_S,
        check_embedding_ctx_length=False,
    )
    vectors = client.embed_documents(["clean", "hour"])
    return {
        "count": len(vectors),
        "lengths": sorted({len(one) for one in vectors}),
        "are_equal": vectors[0] == vectors[1],
    }


def _told(message: Any) -> dict[str, Any]:
    return {
        "content": message.content,
        "usage": message.usage_metadata,
        "tool_calls": message.tool_calls,
        "metadata": {
            name: dict(value) if name == "headers" else value
            for name, value in message.response_metadata.items()
            if name in ("headers", "finish_reason", "model_name")
        },
    }


CALLS = {one.__name__: one for one in (chat, stream, tools, tools_stream, structured, embeddings)}


def _outcome(name: str) -> dict[str, Any]:
    try:
        return CALLS[name](sys.argv[1], sys.argv[2])
    except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
        return {"raised": f"{type(error).__name__}: {error}"[:300]}


if __name__ == "__main__":
    print(json.dumps({name: _outcome(name) for name in sys.argv[3:]}))
