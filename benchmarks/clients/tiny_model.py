"""A language model of a few hundred kilobytes with random weights: nothing to download, and no meaning in what it says.

Its vocabulary is the 256 bytes and two marks, so it can spell anything that a grammar asks of it.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.clients.environments import Environment

NAME = "tiny"
CONTEXT_TOKENS = 65_536  # long enough that nobody is done before a client hangs up
_BEGIN, _END = "<s>", "</s>"
_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
_WRITTEN_WITHIN_S = 120.0


def byte_letters() -> list[str]:
    """The printable letter that stands for each byte in byte-level vocabularies, by the byte.

    Source: GPT-2's encoder (`bytes_to_unicode`), which byte-level tokenizers follow.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    shifted = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(shifted)) for byte in range(0x100)]


def write_folder(folder: Path) -> Path:
    """Settings and tokenizer as engines read them from a folder; the weights are left to the engine's own dice."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in (
        ("config.json", _config()),
        ("tokenizer.json", _tokenizer()),
        ("tokenizer_config.json", _tokenizer_config()),
    ):
        (folder / name).write_text(json.dumps(document))
    return folder


def write_gguf(peer: Environment, file: Path) -> Path:
    """The same in one file, weights included, by the `gguf` package of the peer's environment."""
    runner = Path(__file__).with_name("gguf_run.py")
    vocabulary = file.with_suffix(".json")
    vocabulary.write_text(json.dumps({"tokens": [*byte_letters(), _BEGIN, _END], "context_tokens": CONTEXT_TOKENS}))
    subprocess.run((peer.python, str(runner), str(vocabulary), str(file)), check=True, timeout=_WRITTEN_WITHIN_S)
    return file


def _config() -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 258,
        "max_position_embeddings": CONTEXT_TOKENS,
        "bos_token_id": 256,
        "eos_token_id": 257,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
    }


def _tokenizer() -> dict[str, Any]:
    marks = [
        {"id": 256 + index, "content": mark, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for index, mark in enumerate((_BEGIN, _END))
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    vocabulary = {letter: byte for byte, letter in enumerate(byte_letters())}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": marks,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": _BEGIN,
        "eos_token": _END,
        "model_max_length": CONTEXT_TOKENS,
        "chat_template": _TEMPLATE,
    }
