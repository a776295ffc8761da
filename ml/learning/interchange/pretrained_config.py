"""Configurations and class names of the transformers library, for families that wrap its networks."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from ml.errors import PackageError
from ml.learning.interchange.unread_settings import check_unread
from ml.learning.nn.layers.transformers_config import NON_ARCHITECTURE_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Fields that `save_pretrained` writes, or that do not describe the network.
EXCLUDED_FIELDS: Final = frozenset(
    {"transformers_version", "architectures", "dtype", "id2label", "label2id", "model_type"}
)
#: Names of the activation of a feed-forward network; each family has one of them.
ACTIVATION_FIELDS: Final = frozenset({"hidden_act", "activation_function", "activation", "hidden_activation"})
#: Field at the top of a `config.json` of version 4 or older -> field of `rope_parameters`.
ROTARY_FIELDS: Final[Mapping[str, str]] = {
    "rope_theta": "rope_theta",
    "rotary_emb_base": "rope_theta",
    "partial_rotary_factor": "partial_rotary_factor",
    "rotary_pct": "partial_rotary_factor",
}
#: Families whose heads may turn a part of their width.
PARTIAL_ROTARY_FAMILIES: Final = frozenset({"gpt_neox", "phi"})
#: Kinds of rotary positions that do not depend on the length of the input, up to the longest of the network.
ROPE_TYPES: Final = ("default", "linear", "dynamic", "yarn", "llama3")


def to_pretrained_config(config: Mapping[str, Any]) -> Any:  # a transformers.PretrainedConfig
    """Return the library's object for a `config.json`; raises `PackageError`."""
    from transformers import AutoConfig

    try:
        return AutoConfig.for_model(**deepcopy(dict(config)))  # the library changes nested objects
    except Exception as error:  # the library raises exceptions of any class
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise PackageError(
            f"config.json is invalid: {lines[0]}", hint="`model.save_pretrained(folder)` writes a valid one."
        ) from error


def select_options(config: Mapping[str, Any], *, own_fields: frozenset[str]) -> dict[str, Any]:
    """Return all settings of the network, as the library reads them, but for `own_fields`.

    Defaults are included, since those of the library may change, and so are settings that the file has under an older
    name. `own_fields` are those that the architecture has under a name of its own.
    """
    from transformers import PretrainedConfig

    values = to_pretrained_config(config).to_dict()
    # Fields that the family does not have are attributes that nothing reads.
    fields = _family_fields(config) - PretrainedConfig().to_dict().keys()
    return {name: values[name] for name in sorted(fields - NON_ARCHITECTURE_KEYS - own_fields)}


def check_settings(config: Mapping[str, Any]) -> list[str]:
    """Raise `PackageError` for a setting that the library ignores or rejects, by its name.

    Returns notes on ignored settings that do not change the outputs.
    """
    pretrained = to_pretrained_config(config)
    values = pretrained.to_dict()
    _check_activations(config, values)
    # A family without rotary positions keeps these settings as well, and reads none of them.
    has_rotary = "rope_parameters" in _family_fields(config)
    _check_rotary(config, (values["rope_parameters"] or {}) if has_rotary else {})
    fields = {*_family_fields(config), *pretrained.attribute_map, *ACTIVATION_FIELDS, *ROTARY_FIELDS}
    return check_unread(config, values, {*fields, "rope_scaling", "rope_parameters"})


def _check_activations(config: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    from transformers.activations import ACT2FN

    names = {name: config[name] for name in ACTIVATION_FIELDS if config.get(name) is not None}
    for name, activation in names.items():
        if activation not in ACT2FN:
            raise PackageError(
                f"{name} {activation!r} of config.json is not supported",
                hint=f"Supported: {', '.join(sorted(ACT2FN))}.",
            )
        used = _family_fields(config) & ACTIVATION_FIELDS
        if name not in used and activation not in [values[field] for field in used]:
            raise PackageError(
                f"{name} of config.json is not a setting of {config['model_type']}, which has "
                f"{' and '.join(sorted(used)) or 'none like it'}",
                hint="Remove it, or write it under the name that the transformers library reads.",
            )


def _check_rotary(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Compare the rotary settings of `config` with those that the library reads from it."""
    family = config["model_type"]
    # Name in config.json, field of the library, value
    declared = [(name, field, config[name]) for name, field in ROTARY_FIELDS.items() if config.get(name) is not None]
    for name in ("rope_scaling", "rope_parameters"):
        settings = config.get(name)
        for key, value in settings.items() if isinstance(settings, dict) else ():
            declared.append((f"{name}.{key}", "rope_type" if key == "type" else key, value))
    ignored = {
        name
        for name, field, value in declared
        if field not in parameters
        or parameters[field] != value
        or (field == "partial_rotary_factor" and value != 1 and family not in PARTIAL_ROTARY_FAMILIES)
    }
    if ignored:
        raise PackageError(
            f"the transformers library does not use these settings of config.json for {family}: "
            f"{', '.join(sorted(ignored))}",
            hint="Remove them if the model was trained without them; else save it again with the newest library.",
        )
    rope_type = parameters.get("rope_type", "default")
    if rope_type not in ROPE_TYPES:
        raise PackageError(
            f"rope_type {rope_type!r} of config.json is not supported", hint=f"Supported: {', '.join(ROPE_TYPES)}."
        )


def _family_fields(config: Mapping[str, Any]) -> set[str]:
    from transformers import AutoConfig

    return set(AutoConfig.for_model(config["model_type"]).to_dict())


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
