"""Settings of a `config.json` that the transformers library does not read for a family.

Those that would change the outputs of a network are refused by their names, and the others are listed in the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ml.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

#: Values with which most settings change nothing.
OFF: Final[Sequence[Any]] = (None, False, 0, "", "none", [], {})
_NO_FACTOR: Final[Sequence[Any]] = (None, False, 1)
_ON: Final[Sequence[Any]] = (None, True)
#: Setting that changes outputs in the families that have it -> values with which it changes nothing in the others.
OUTPUT_SETTINGS: Final[Mapping[str, Sequence[Any]]] = {
    **dict.fromkeys(
        {"final_logit_softcapping", "attn_logit_softcapping", "query_pre_attn_scalar", "clip_qkv", "alibi", "use_alibi"}
        | {"relative_attention", "qk_layernorm", "use_qk_norm", "qk_norm", "parallel_attn", "multi_query"}
        | {"new_decoder_architecture", "no_rope_layers", "attention_chunk_size", "attn_temperature_tuning"}
        | {"attention_sink_size", "sliding_window_pattern", "cross_layer_attention", "layer_scale_init_value"}
        | {"pruned_heads", "rope_ratio", "use_logn_attn", "use_dynamic_ntk", "softmax_scale", "use_parallel_residual"}
        | {"scale_attn_by_inverse_layer_idx", "scale_embedding", "normalize_embedding"},
        OFF,
    ),
    **dict.fromkeys(
        {"embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling", "logit_scale"}
        | {"scale_emb", "scale_depth", "dim_model_base", "mup_width_multiplier", "mup_embeddings_multiplier"}
        | {"lm_head_multiplier", "embedding_scale", "output_multiplier", "rope_scaling_factor"},
        _NO_FACTOR,
    ),
    **dict.fromkeys({"scale_attn_weights", "do_layer_norm_before", "layer_norm_elementwise_affine"}, _ON),
    "position_embedding_type": (*OFF, "absolute", "rope", "rotary"),
}
#: Names of the small number in a normalization; each family has one of them, or a fixed number.
EPSILON_SETTINGS: Final = ("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "norm_eps", "norm_epsilon")
#: Numbers that the library itself has where a family has no such setting.
FIXED_EPSILON: Final[Mapping[str, float]] = {"distilbert": 1e-12, "opt": 1e-5}
#: Settings of the library's training, text generation and older versions, which change no output of a network.
HARMLESS: Final = frozenset(
    {"gradient_checkpointing", "task_specific_params", "finetuning_task", "tokenizer_class", "torch_dtype", "prefix"}
    | {"num_labels", "_num_labels", "use_return_dict", "pretraining_tp", "tie_weights_", "output_past", "auto_map"}
    | {"quantization_config", "attn_implementation", "_attn_implementation", "_flash_attn_2_enabled", "torchscript"}
    | {"pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"}
    | {"directionality", "n_ctx", "n_special", "predict_special_tokens", "use_bfloat16", "is_composition"}
    | {
        "sinusoidal_pos_embds",
        "xla_device",
        "rope_interleaved",
        "head_dim",
        "type_vocab_size",
        "layer_types",
        "is_decoder",
    }
)
MAX_LISTED: Final = 10


def check_unread(config: Mapping[str, Any], values: Mapping[str, Any], fields: Collection[str]) -> list[str]:
    """Return a note on the settings of `config` that the library does not read.

    It reads `fields`, with these `values`. Raises `PackageError` if a setting that it does not read changes outputs.
    """
    family = str(config["model_type"])
    unread = {name: value for name, value in config.items() if name not in fields}
    changing = [name for name, value in unread.items() if value not in OUTPUT_SETTINGS.get(name, (value,))]
    changing += _other_epsilons(unread, values, family)
    if changing:
        settings = ", ".join(f"{name} = {config[name]!r}" for name in sorted(changing))
        raise PackageError(
            f"the transformers library does not use these settings of config.json for {family}: {settings}",
            hint="Remove them if the model was trained without them; else send it with the model_type that has them.",
        )
    listed = sorted(name for name in unread if not _is_harmless(name))
    if not listed:
        return []
    more = f" and {len(listed) - MAX_LISTED} more" if len(listed) > MAX_LISTED else ""
    return [
        f"settings of config.json that the transformers library does not use for {family}: "
        f"{', '.join(listed[:MAX_LISTED])}{more}"
    ]


def _other_epsilons(unread: Mapping[str, Any], values: Mapping[str, Any], family: str) -> list[str]:
    """Return the settings whose value is not the small number of the family."""
    used = [values[name] for name in EPSILON_SETTINGS if name in values and name not in unread]
    used += [FIXED_EPSILON[family]] if family in FIXED_EPSILON else []
    return [name for name in EPSILON_SETTINGS if unread.get(name) is not None and unread[name] not in used]


def _is_harmless(name: str) -> bool:
    from transformers import GenerationConfig

    generation: Any = GenerationConfig()  # type: ignore[no-untyped-call]
    return name in HARMLESS or name in OUTPUT_SETTINGS or name.startswith("summary_") or hasattr(generation, name)
