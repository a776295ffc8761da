#!/usr/bin/env bash
# transformers 5.24.0: Llama ignores `partial_rotary_factor`, or fails in `forward`, depending on `rope_type`.
#
# Surprise: `LlamaConfig(partial_rotary_factor=0.5)` is accepted and stands in `config.rope_parameters`, so that it looks
# as if half of each head were rotated. With the rope type `default`, the whole head is rotated: outputs are equal to
# those without the setting, and nothing is logged. With the rope type `linear`, the frequencies are computed for half
# of the head, as the setting says, and `forward` raises a RuntimeError, since the keys are still rotated as a whole.
# So one setting is dropped by one rope type and applied, in part, by another. Qwen2 and Mistral behave alike.
#
# Why it matters: a converter that copies `config.json` and compares settings finds them equal, while the network that
# was trained with partial rotation gives other numbers. Only a comparison of outputs shows it.
#
# Workaround: for families whose attention rotates whole heads, reject `partial_rotary_factor` other than 1.
#
# Seen with transformers 5.24.0, torch 2.13.0, CPython 3.11, Linux x86-64:
#   default: rope_parameters says 0.5, 4 of 4 frequencies, largest difference of outputs 0.0
#   linear: rope_parameters says 0.5, 2 of 4 frequencies, RuntimeError
#
# Exits 0 while this holds, 1 if the behavior has changed. Needs python3 (or PYTHON) and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "transformers==5.24.0" "torch==2.13.0"

cat > "$folder/compare.py" <<'PYTHON'
import sys

import torch
from transformers import LlamaConfig, LlamaModel

HEAD_WIDTH = 8
IDS = torch.arange(1, 41)[None]


def build(rope_type, factor):
    torch.manual_seed(0)
    rope = {"rope_type": rope_type, "rope_theta": 10000.0}
    if rope_type == "linear":
        rope["factor"] = 2.0
    if factor is not None:
        rope["partial_rotary_factor"] = factor
    config = LlamaConfig(
        hidden_size=4 * HEAD_WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=64,
        rope_parameters=rope,
    )
    return LlamaModel(config).eval()


def outputs(model):
    with torch.no_grad():
        return model(IDS).last_hidden_state


def describe(rope_type):
    model = build(rope_type, 0.5)
    declared = model.config.rope_parameters["partial_rotary_factor"]
    frequencies = f"{len(model.rotary_emb.inv_freq)} of {HEAD_WIDTH // 2} frequencies"
    try:
        difference = (outputs(model) - outputs(build(rope_type, None))).abs().max().item()
        result = f"largest difference of outputs {difference}"
    except RuntimeError as error:
        result = type(error).__name__
    return f"{rope_type}: rope_parameters says {declared}, {frequencies}, {result}"


seen = [describe("default"), describe("linear")]
print("\n".join(seen))
expected = [
    "default: rope_parameters says 0.5, 4 of 4 frequencies, largest difference of outputs 0.0",
    "linear: rope_parameters says 0.5, 2 of 4 frequencies, RuntimeError",
]
sys.exit(seen != expected)
PYTHON

"$folder/venv/bin/python" "$folder/compare.py"
