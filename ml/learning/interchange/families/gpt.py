"""GPT-like decoders, whose architecture wraps the library's own network, so tensor names are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, get_args

import torch
from pydantic import ValidationError

from ml.config import Choice
from ml.encoders.text import TextEncoder
from ml.errors import PackageError, shorten
from ml.learning.interchange.families.base import ExportedModel, Family, ImportedModel
from ml.learning.interchange.load_pretrained import load_pretrained
from ml.learning.interchange.pretrained_config import (
    base_prefix,
    find_class_name,
    select_options,
    to_config_json,
    to_pretrained_config,
)
from ml.learning.interchange.save_pretrained import save_pretrained
from ml.learning.interchange.sentence_modules import FILES as SENTENCE_FILES
from ml.learning.interchange.sentence_modules import read_pooling
from ml.learning.interchange.tokenizer_files import EXAMPLES, FILES, make_token_batches, read_tokenizer, write_tokenizer
from ml.learning.nn.architectures.gpt import GPT, GPTConfig
from ml.learning.nn.layers.causal_mask import last_position

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ml.encoders.base import Encoder
    from ml.learning.nn.network import Network
    from ml.package.package import ModelPackage

#: Fields of `config.json` that the architecture has under a name of its own, or that do not describe the network.
OWN_FIELDS: Final = frozenset(
    {"hidden_size", "n_embd", "num_hidden_layers", "n_layer", "num_attention_heads", "n_head", "use_cache"}
    | {"pad_token_id", "bos_token_id", "eos_token_id", "layer_types"}
)
#: Mode of the sentence-transformers library that is the pooling of this architecture.
POOLINGS: Final = {"lasttoken": "last"}
#: Names of the output embedding, the layer that computes the logits of the next token.
OUTPUT_EMBEDDINGS: Final = ("lm_head", "embed_out")
#: Last part of the names of the input embedding.
INPUT_EMBEDDINGS: Final = ("embed_tokens.weight", "wte.weight", "embed_in.weight")
_OUTPUT_PREFIXES: Final = tuple(f"{name}." for name in OUTPUT_EMBEDDINGS)


class GPTFamily(Family):
    """GPT-2, Llama and similar decoders."""

    name = "gpt"
    slot = "text"
    model_types = frozenset(get_args(GPTConfig.model_fields["family"].annotation))
    files = (*FILES, *SENTENCE_FILES)
    tasks: ClassVar[Mapping[str, str]] = {"LMHeadModel": "text_generation", "ForCausalLM": "text_generation"}

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any], *, task: str | None) -> ImportedModel:
        """Read a folder with its tokenizer.

        The output embedding is read unless it is tied to the input embedding.
        """
        prefix = base_prefix(config["model_type"]) if task else ""
        is_tied = to_pretrained_config(config).tie_word_embeddings
        class_name = "AutoModelForCausalLM" if task else "AutoModel"
        loaded = load_pretrained(folder, class_name, optional_prefixes=_OUTPUT_PREFIXES if is_tied else ())
        head, head_options = _read_head(loaded.tensors, config["model_type"], is_tied=is_tied) if task else ({}, {})
        architecture = _architecture(config)
        length, notes = _max_positions(config, architecture)
        encoder, tokenizer_notes = read_tokenizer(folder, config, max_length=length, keeps_end=bool(task))
        notes += tokenizer_notes
        if task is None:
            notes += read_pooling(folder, supported=POOLINGS)[1]
        return ImportedModel(
            architecture=Choice(name=cls.name, config=architecture.model_dump(mode="json")),
            encoder=encoder,
            backbone={
                f"model.{name.removeprefix(prefix)}": tensor
                for name, tensor in loaded.tensors.items()
                if name.startswith(prefix)
            },
            pretrained=loaded.model,
            head=head,
            task_state={"prompted": False} if task else {},
            head_options=head_options,
            dropped=loaded.dropped,
            notes=notes,
        )

    @classmethod
    def examples(cls) -> list[Any]:
        """Return short and long texts."""
        return [*EXAMPLES]

    @classmethod
    def write(cls, package: ModelPackage, network: Network, folder: Path) -> ExportedModel:
        """Write a folder with the tokenizer; a causal language model if it has a task."""
        backbone, encoder = network.backbones[cls.slot], package.encoders()[cls.slot]
        assert isinstance(backbone, GPT)
        assert isinstance(encoder, TextEncoder)
        generates = package.manifest.task is not None
        family = backbone.settings.model_type
        is_untied = network.head is not None and "own_table.weight" in network.head.state_dict()
        output = "embed_out" if family == "gpt_neox" else "lm_head"
        config = {
            **to_config_json(backbone.settings),
            "tie_word_embeddings": not is_untied,
            **_special_token_ids(encoder),
        }
        save_pretrained(
            folder,
            find_class_name(family, "ForCausalLM" if generates else "Model"),
            config,
            backbone=backbone.model.state_dict(),
            prefix=base_prefix(family),
            head={f"{output}.weight": "own_table.weight"} if is_untied else {},
            package=package,
            network=network,
        )
        write_tokenizer(encoder, folder)
        return ExportedModel(
            "AutoModelForCausalLM" if generates else "AutoModel", missing_prefixes=() if is_untied else _OUTPUT_PREFIXES
        )

    @classmethod
    def predict_pretrained(cls, model: Any, arrays: Mapping[str, Tensor], architecture: Choice) -> Tensor:
        """Return the `logits` after the last token, or else its hidden state."""
        mask_BT = arrays[f"{cls.slot}_mask"]
        outputs = model(input_ids=arrays[cls.slot], attention_mask=mask_BT.long(), use_cache=False)
        return last_position(outputs.logits if "logits" in outputs else outputs.last_hidden_state, mask_BT)

    @classmethod
    def comparison_batches(cls, encoder: Encoder[Any]) -> list[dict[str, Tensor]]:
        """Return tokens of several lengths, alone and padded."""
        return make_token_batches(cls.slot, encoder.shape())


def _read_head(
    tensors: Mapping[str, Tensor], family: str, *, is_tied: bool
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and options of the head.

    Raises `PackageError` if the output embedding has a bias.
    """
    output = next(name for name in OUTPUT_EMBEDDINGS if f"{name}.weight" in tensors)
    if f"{output}.bias" in tensors:
        raise PackageError(
            f"the output embedding of {family} has a bias, which is not supported",
            hint="Send the model without its head: AutoModel.from_pretrained(...).save_pretrained(...).",
        )
    if is_tied:
        _check_tied(tensors[f"{output}.weight"], tensors)
        return {}, {}
    table = tensors[f"{output}.weight"]
    return {"own_table.weight": table}, {"vocabulary": len(table)}


def _check_tied(table: Tensor, tensors: Mapping[str, Tensor]) -> None:
    """Raise `PackageError` if the weights have an output embedding that is not tied."""
    embeddings = [tensor for name, tensor in tensors.items() if name.endswith(INPUT_EMBEDDINGS)]
    if not any(table.shape == embedding.shape and torch.equal(table, embedding) for embedding in embeddings):
        raise PackageError(
            "tie_word_embeddings of config.json is true, but the weights have an output embedding of their own",
            hint="Set tie_word_embeddings to false, or remove that tensor if the model was trained without it.",
        )


def _max_positions(config: Mapping[str, Any], architecture: GPTConfig) -> tuple[int, list[str]]:
    """Return the maximum number of tokens, at most the window of attention; and notes."""
    positions = int(to_pretrained_config(config).max_position_embeddings)
    window = architecture.options.get("sliding_window")
    if window is None or window >= positions:
        return positions, []
    note = f"texts are cut to {window} tokens, the sliding_window of config.json: attention beyond it is not supported"
    return int(window), [note]


def _architecture(config: Mapping[str, Any]) -> GPTConfig:
    """Return the architecture of a `config.json`; raises `PackageError` if it is invalid."""
    pretrained = to_pretrained_config(config)
    options = select_options(config, own_fields=OWN_FIELDS)
    options.pop("pad_token_id", None)
    if "sliding_attention" not in getattr(pretrained, "layer_types", ["sliding_attention"]):
        options.pop("sliding_window", None)  # no layer uses it
    try:
        return GPTConfig(
            family=config["model_type"],
            width=pretrained.hidden_size,
            layers=pretrained.num_hidden_layers,
            heads=pretrained.num_attention_heads,
            options=options,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "its values"
        raise PackageError(
            f"config.json cannot be used: {place}: {first['msg']}, not {shorten(first['input'])}",
            hint="Correct it, or write it anew by `model.save_pretrained(folder)`.",
        ) from error


def _special_token_ids(encoder: TextEncoder) -> dict[str, int]:
    """Return the ids with which the library's own generation begins and ends."""
    roles = {"bos_token_id": "begin", "eos_token_id": "end", "pad_token_id": "padding"}
    return {name: encoder.tokens[role] for name, role in roles.items() if role in encoder.tokens}
