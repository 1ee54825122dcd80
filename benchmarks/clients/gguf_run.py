"""Writes a tiny GGUF file with random weights; run by an interpreter that has `gguf`, not by ours.

VENV/bin/python gguf_run.py VOCABULARY.json FILE.gguf
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WIDTH, HIDDEN, LAYERS, HEADS = 64, 128, 2, 2
SEED = 1


def write(vocabulary: Path, file: Path) -> None:
    import gguf
    import numpy as np

    told: dict[str, Any] = json.loads(vocabulary.read_text())
    tokens = told["tokens"]
    dice = np.random.default_rng(SEED)

    def weights(*shape: int) -> Any:
        return dice.normal(0.0, 0.3, shape).astype(np.float32)

    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(told["context_tokens"])
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(tokens) - 2) + [gguf.TokenType.CONTROL] * 2)
    writer.add_token_merges([f"{tokens[ord('t')]} {tokens[ord('h')]}"])
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_tensor("token_embd.weight", weights(len(tokens), WIDTH))
    writer.add_tensor("output.weight", weights(len(tokens), WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(WIDTH, WIDTH))
        for name in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(HIDDEN, WIDTH))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", weights(WIDTH, HIDDEN))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
