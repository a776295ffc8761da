"""Configurations of the `transformers` library, from which it builds networks without any download."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Keys of a `config.json` that do not describe how the network is built, and those that select another kind of network.
NON_ARCHITECTURE_KEYS: Final = frozenset(
    {"model_type", "architectures", "dtype", "transformers_version", "_name_or_path", "id2label", "label2id"}
    | {"problem_type", "output_attentions", "output_hidden_states", "return_dict", "is_decoder", "use_cache"}
    | {"add_cross_attention", "is_encoder_decoder"}
)
#: Keys that older files have instead of `rope_parameters`; the library still reads them.
LEGACY_KEYS: Final = frozenset({"rope_theta", "rope_scaling", "partial_rotary_factor"})


def to_transformers_config(
    family: str, sizes: Mapping[str, Any], options: Mapping[str, Any]
) -> Any:  # a transformers.PretrainedConfig
    """Return the configuration of a family: its defaults, `sizes`, and `options` of its `config.json`.

    Later ones take precedence. Keys that this family does not have are dropped, as the library does itself. So are all
    that select code instead of sizes: an attention implementation, a quantization, a module to load.
    """
    # The library takes seconds to import, and image networks do not need it.
    from transformers import AutoConfig

    defaults = AutoConfig.for_model(family)
    keys = (defaults.to_dict().keys() - NON_ARCHITECTURE_KEYS) | LEGACY_KEYS
    names: Mapping[str, str] = defaults.attribute_map
    settings = {names.get(name, name): value for values in (sizes, options) for name, value in values.items()}
    return AutoConfig.for_model(family, **{name: value for name, value in settings.items() if name in keys})
