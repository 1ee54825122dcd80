"""The official client for Node.js, unchanged, where `npm install openai` has put it on NODE_PATH."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.clients.stand import simulated

CALLS = Path(__file__).with_name("openai_node_client.cjs")
PATIENCE_S = 90.0


def node() -> str:
    """The program, where it finds the client; else the test is skipped with the reason."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed here")
    if subprocess.run([found, "-e", 'require.resolve("openai")'], capture_output=True, check=False).returncode:
        pytest.skip("node finds no package openai: npm install openai, and name its node_modules in NODE_PATH")
    return found


@pytest.mark.slow
def test_the_node_client_chats_streams_embeds_and_runs_batches(tmp_path: Path) -> None:
    program = node()
    with simulated(tmp_path) as stand:
        asked = [program, str(CALLS), stand.base_url]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
    assert json.loads(said) == {
        "models": ["llama-3.1-8b"],
        "tier": "flex",
        "basis": "modelled",
        "streamed_tokens": 5,
        "dimensions": 384,
        "batch": "completed",
        "output": "one",
        "cancelled": "cancelling",
        "refused": [404, "model_not_found"],
    }
