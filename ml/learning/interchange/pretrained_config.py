"""What families share whose architecture holds the library's own network: its configuration, its classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ml.errors import PackageError
from ml.learning.nn.layers.transformers_config import NON_ARCHITECTURE_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

LEFT_OUT: Final = frozenset({"transformers_version", "architectures", "dtype", "id2label", "label2id", "model_type"})
"""What is written by others, or about others."""
WRITTEN_DOWN: Final = frozenset({"vocab_size", "max_position_embeddings", "pad_token_id"})
"""What is kept even where the file leaves it to the library, whose defaults may change."""


def settings_of(config: Mapping[str, Any]) -> Any:  # a transformers.PretrainedConfig
    """The library's configuration of a `config.json`; raises `PackageError`."""
    from transformers import AutoConfig

    try:
        return AutoConfig.for_model(**config)
    except Exception as error:  # the library raises what it met, of any kind
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise PackageError(f"config.json cannot be used: {told[0]}") from error


def options_of(config: Mapping[str, Any], *, ours: frozenset[str]) -> dict[str, Any]:
    """What of a `config.json` builds the network and has no name of its own here: `ours` are those that have."""
    settings = settings_of(config)
    names: Mapping[str, str] = settings.attribute_map
    known = settings.to_dict()
    said = {names.get(name, name) for name in config.keys() - NON_ARCHITECTURE_KEYS - ours}
    wanted = said | {names.get(name, name) for name in WRITTEN_DOWN}
    return {name: known[name] for name in sorted(wanted & known.keys())}


def described(settings: Any) -> dict[str, Any]:
    """A `config.json` that the library builds the same network from."""
    said = {name: value for name, value in settings.to_diff_dict().items() if name not in LEFT_OUT}
    return {"model_type": settings.model_type, **said}


def class_of(family: str, end: str) -> str:
    """The library's class of a family for a purpose: `Model`, `ForSequenceClassification`, `ForCausalLM`."""
    from transformers.models.auto import modeling_auto

    known: Mapping[str, Mapping[str, Any]] = {
        "Model": modeling_auto.MODEL_MAPPING_NAMES,
        "ForSequenceClassification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "ForCausalLM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    }
    return str(known[end][family])


def base_prefix(family: str) -> str:
    """Below which a model with a head has the tensors of the one without."""
    import transformers

    return f"{getattr(transformers, class_of(family, 'Model')).base_model_prefix}."
