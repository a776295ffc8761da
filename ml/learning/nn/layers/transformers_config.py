"""Published families of networks, built by Hugging Face's library from a configuration and never downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_OF_THE_NETWORK: Final = frozenset(
    {"model_type", "architectures", "dtype", "transformers_version", "_name_or_path", "id2label", "label2id"}
    | {"problem_type", "output_attentions", "output_hidden_states", "return_dict", "is_decoder", "use_cache"}
    | {"add_cross_attention", "is_encoder_decoder"}
)
"""What a `config.json` says beside how the network is built, and what would build another kind of network."""
EARLIER_NAMES: Final = frozenset({"rope_theta", "rope_scaling", "partial_rotary_factor"})
"""What older files say of `rope_parameters`; the library still reads it."""


def to_transformers_config(
    family: str, own: Mapping[str, Any], options: Mapping[str, Any]
) -> Any:  # a transformers.PretrainedConfig
    """The configuration of a family: its defaults, what is our `own`, and `options` as its `config.json` has them.

    Of both, what this family does not know is left out, as the library does itself. So is whatever chooses code instead
    of sizes: an implementation of attention, a quantisation, a module to be loaded.
    """
    # The library takes seconds to import, which a network of pictures need not wait for.
    from transformers import AutoConfig

    usual = AutoConfig.for_model(family)
    known = (usual.to_dict().keys() - NOT_OF_THE_NETWORK) | EARLIER_NAMES
    names: Mapping[str, str] = usual.attribute_map
    said = {names.get(name, name): value for each in (own, options) for name, value in each.items()}
    return AutoConfig.for_model(family, **{name: value for name, value in said.items() if name in known})
