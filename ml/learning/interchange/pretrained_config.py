"""Configurations and class names of the transformers library, for families that wrap its networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ml.errors import PackageError
from ml.learning.nn.layers.transformers_config import NON_ARCHITECTURE_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Fields that `save_pretrained` writes, or that do not describe the network.
EXCLUDED_FIELDS: Final = frozenset(
    {"transformers_version", "architectures", "dtype", "id2label", "label2id", "model_type"}
)
#: Fields that are stored even if the file leaves them to the library, whose defaults may change.
STORED_DEFAULTS: Final = frozenset({"vocab_size", "max_position_embeddings", "pad_token_id"})


def to_pretrained_config(config: Mapping[str, Any]) -> Any:  # a transformers.PretrainedConfig
    """Return the library's object for a `config.json`; raises `PackageError`."""
    from transformers import AutoConfig

    try:
        return AutoConfig.for_model(**config)
    except Exception as error:  # the library raises exceptions of any class
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise PackageError(
            f"config.json is invalid: {lines[0]}", hint="`model.save_pretrained(folder)` writes a valid one."
        ) from error


def select_options(config: Mapping[str, Any], *, own_fields: frozenset[str]) -> dict[str, Any]:
    """Return the fields of a `config.json` that describe the network, but for `own_fields`.

    `own_fields` are those that the architecture has under a name of its own.
    """
    pretrained = to_pretrained_config(config)
    names: Mapping[str, str] = pretrained.attribute_map
    values = pretrained.to_dict()
    fields = (config.keys() - NON_ARCHITECTURE_KEYS - own_fields) | STORED_DEFAULTS
    selected = {names.get(name, name) for name in fields}
    return {name: values[name] for name in sorted(selected & values.keys())}


def to_config_json(pretrained: Any) -> dict[str, Any]:
    """Return a `config.json` from which the library builds the same network."""
    fields = {name: value for name, value in pretrained.to_diff_dict().items() if name not in EXCLUDED_FIELDS}
    return {"model_type": pretrained.model_type, **fields}


def find_class_name(family: str, suffix: str) -> str:
    """Return the library's class of a family.

    `suffix` is `Model`, `ForSequenceClassification` or `ForCausalLM`.
    """
    from transformers.models.auto import modeling_auto

    names: Mapping[str, Mapping[str, Any]] = {
        "Model": modeling_auto.MODEL_MAPPING_NAMES,
        "ForSequenceClassification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "ForCausalLM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    }
    return str(names[suffix][family])


def base_prefix(family: str) -> str:
    """Return the prefix of the backbone's tensors in a model with a head."""
    import transformers

    return f"{getattr(transformers, find_class_name(family, 'Model')).base_model_prefix}."
