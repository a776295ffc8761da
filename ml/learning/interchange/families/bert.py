"""BERT-like encoders, whose architecture wraps the library's own network, so tensor names are the same.

The layers of a classification head have other names in each family: BERT and RoBERTa have the head behind the pooler,
DistilBERT and ELECTRA behind a hidden layer of the head.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import ValidationError
from safetensors.torch import save_file

from ml.config import Choice
from ml.encoders.text import TextEncoder
from ml.errors import PackageError, shorten
from ml.learning.interchange.families.base import ExportedModel, Family, ImportedModel
from ml.learning.interchange.load_pretrained import LoadedWeights, load_pretrained
from ml.learning.interchange.pretrained_config import (
    base_prefix,
    find_class_name,
    select_options,
    to_config_json,
    to_pretrained_config,
)
from ml.learning.interchange.save_pretrained import save_pretrained
from ml.learning.interchange.sentence_modules import FILES as SENTENCE_FILES
from ml.learning.interchange.sentence_modules import MODULES, POOLING, read_pooling
from ml.learning.interchange.tokenizer_files import EXAMPLES, FILES, make_token_batches, read_tokenizer, write_tokenizer
from ml.learning.nn.architectures.bert import BERT, PADDING_OFFSET_FAMILIES, BERTConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ml.encoders.base import Encoder
    from ml.learning.nn.network import Network
    from ml.package.package import ModelPackage

IDENTITY: Final = "torch.nn.modules.linear.Identity"
#: Mode of the sentence-transformers library -> pooling of the architecture.
POOLINGS: Final[Mapping[str, str]] = {"mean": "mean", "cls": "first"}
#: Field of the sentence-transformers library before version 6, which version 6 reads as well -> pooling.
WRITTEN_POOLINGS: Final[Mapping[str, str]] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}
#: Fields of `config.json` that the architecture has under a name of its own.
OWN_FIELDS: Final = frozenset(
    {"hidden_size", "dim", "num_hidden_layers", "n_layers", "num_attention_heads", "n_heads", "intermediate_size"}
    | {"hidden_dim", "hidden_dropout_prob", "dropout"}
)
_PARTS: Final = ("weight", "bias")


@dataclass(frozen=True, slots=True)
class _Head:
    """Classification head of a family."""

    pooling: str
    #: Activation of the hidden layer; `none` if the pooler is that layer.
    hidden: str
    #: Layer of our head -> layer of the library.
    layers: Mapping[str, str]
    #: Layer of the library's head that is our pooler; None if the library has a pooler as well.
    pooler: str | None = None


_DENSE = {"linear": "classifier.out_proj"}
HEADS: Final[Mapping[str, _Head]] = {
    "bert": _Head("pooler", "none", {"linear": "classifier"}),
    **dict.fromkeys(
        ("roberta", "xlm-roberta", "camembert", "mpnet"), _Head("pooler", "none", _DENSE, pooler="classifier.dense")
    ),
    "distilbert": _Head("first", "relu", {"hidden": "pre_classifier", "linear": "classifier"}),
    "electra": _Head("first", "gelu", {"hidden": "classifier.dense", **_DENSE}),
}


class BERTFamily(Family):
    """BERT and similar encoders."""

    name = "bert"
    slot = "text"
    model_types = frozenset(HEADS)
    files = (*FILES, *SENTENCE_FILES)
    tasks: ClassVar[Mapping[str, str]] = {"ForSequenceClassification": "text_classification"}

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any], *, task: str | None) -> ImportedModel:
        """Read a folder with its tokenizer and its pooling."""
        class_name = "AutoModelForSequenceClassification" if task else "AutoModel"
        prefix = base_prefix(config["model_type"]) if task else ""
        loaded = load_pretrained(folder, class_name, optional_prefixes=("pooler.", f"{prefix}pooler."))
        backbone, head = _split_tensors(loaded, prefix, HEADS[config["model_type"]] if task else None)
        notes: list[str] = []
        if task:
            pooling = HEADS[config["model_type"]].pooling
        else:
            has_pooler = any(name.startswith("pooler.") for name in backbone) and not loaded.missing
            pooling, notes = _read_pooling(folder, has_pooler=has_pooler)
        architecture = _architecture(config, pooling)
        dropped = [*loaded.dropped]
        if pooling != "pooler":
            dropped += [name for name in backbone if name.startswith("pooler.") and name not in loaded.missing]
            backbone = {name: tensor for name, tensor in backbone.items() if not name.startswith("pooler.")}
        encoder, tokenizer_notes = read_tokenizer(folder, config, max_length=_max_positions(config))
        return ImportedModel(
            architecture=Choice(name=cls.name, config=architecture.model_dump(mode="json")),
            encoder=encoder,
            backbone={f"model.{name}": tensor for name, tensor in backbone.items()},
            pretrained=loaded.model,
            head=head,
            task_options={"hidden": HEADS[config["model_type"]].hidden} if task else {},
            dropped=sorted(dropped),
            notes=[*notes, *tokenizer_notes],
        )

    @classmethod
    def examples(cls) -> list[Any]:
        """Return short and long texts."""
        return [*EXAMPLES] * 2

    @classmethod
    def write(cls, package: ModelPackage, network: Network, folder: Path) -> ExportedModel:
        """Write a folder with the tokenizer.

        A head without a class in the transformers library is written for sentence-transformers.
        """
        backbone, encoder = network.backbones[cls.slot], package.encoders()[cls.slot]
        assert isinstance(backbone, BERT)
        assert isinstance(encoder, TextEncoder)
        config = BERTConfig.model_validate(package.manifest.architectures[cls.slot].config)
        if config.prompt:
            message = "a learned prompt cannot be stored in a Hugging Face folder"
            raise PackageError(message, hint="Export the format onnx, or tune with lora or adapters instead.")
        head = HEADS[config.family] if _has_library_head(package, config) else None
        _save_weights(package, network, backbone, folder, head)
        write_tokenizer(encoder, folder)
        if config.pooling != "pooler":
            _write_pooling(folder, config.pooling, width=backbone.widths.pooled)
        notes = []
        if package.manifest.task is not None and head is None:
            _write_dense(folder, network, width=backbone.widths.pooled)
            notes.append(
                f"no {config.family} class of the transformers library has this head over the pooling "
                f"{config.pooling}: the folder loads without a head, and 2_Dense has it for sentence-transformers"
            )
        missing_prefixes = () if config.pooling == "pooler" else ("pooler.",)
        return ExportedModel("AutoModelForSequenceClassification" if head else "AutoModel", notes, missing_prefixes)

    @classmethod
    def predict_pretrained(cls, model: Any, arrays: Mapping[str, Tensor], architecture: Choice) -> Tensor:
        """Return `logits`, or else the embedding with the pooling of the package."""
        mask_BT = arrays[f"{cls.slot}_mask"]
        outputs = model(input_ids=arrays[cls.slot], attention_mask=mask_BT.long())
        if "logits" in outputs:
            logits: Tensor = outputs.logits
            return logits
        pooling = architecture.config["pooling"]
        if pooling == "pooler":
            pooled: Tensor = outputs.pooler_output
            return pooled
        sequence_BTD: Tensor = outputs.last_hidden_state
        if pooling == "first":
            return sequence_BTD[:, 0]
        weight_BT1 = mask_BT[..., None].to(sequence_BTD.dtype)
        return (sequence_BTD * weight_BT1).sum(dim=1) / weight_BT1.sum(dim=1)

    @classmethod
    def comparison_batches(cls, encoder: Encoder[Any]) -> list[dict[str, Tensor]]:
        """Return tokens of several lengths, alone and padded."""
        return make_token_batches(cls.slot, encoder.shape())


def _split_tensors(
    loaded: LoadedWeights, prefix: str, head: _Head | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split tensors into backbone and head.

    Returns those of the backbone by the library's names, and those of the head by ours.
    """
    backbone = {name.removeprefix(prefix): tensor for name, tensor in loaded.tensors.items() if name.startswith(prefix)}
    if head is None:
        return backbone, {}
    if head.pooler is not None:
        backbone |= {f"pooler.dense.{part}": loaded.tensors[f"{head.pooler}.{part}"] for part in _PARTS}
    head_tensors = {
        f"{layer}.{part}": loaded.tensors[f"{library_layer}.{part}"]
        for layer, library_layer in head.layers.items()
        for part in _PARTS
    }
    return backbone, head_tensors


def _has_library_head(package: ModelPackage, config: BERTConfig) -> bool:
    """Return whether the library has a class with the head of the package."""
    head, manifest = HEADS[config.family], package.manifest
    return (
        manifest.task is not None
        and manifest.head is not None
        and config.pooling == head.pooling
        and manifest.head.config.get("hidden", "none") == head.hidden
    )


def _save_weights(package: ModelPackage, network: Network, backbone: BERT, folder: Path, head: _Head | None) -> None:
    """Write configuration and weights, with the head if it is not None."""
    config = backbone.model.config
    tensors = backbone.model.state_dict()
    layers: dict[str, str] = {}
    pooler: dict[str, Tensor] = {}
    if head is not None:
        layers = {
            f"{library_layer}.{part}": f"{layer}.{part}"
            for layer, library_layer in head.layers.items()
            for part in _PARTS
        }
        if head.pooler is not None:
            pooler = {f"{head.pooler}.{part}": tensors.pop(f"pooler.dense.{part}") for part in _PARTS}
    save_pretrained(
        folder,
        find_class_name(config.model_type, "ForSequenceClassification" if head else "Model"),
        to_config_json(config),
        backbone=tensors,
        prefix=f"{backbone.model.base_model_prefix}.",
        head=layers,
        extra_head=pooler,
        package=package,
        network=network,
    )


def _architecture(config: Mapping[str, Any], pooling: str) -> BERTConfig:
    """Return the architecture of a `config.json`; raises `PackageError` for unsupported variants."""
    pretrained = to_pretrained_config(config)
    position = config.get("position_embedding_type", "absolute")
    if position != "absolute" or config.get("is_decoder") or config.get("add_cross_attention"):
        raise PackageError(
            "only encoders with absolute positions are supported",
            hint='Set is_decoder and add_cross_attention to false and position_embedding_type to "absolute".',
        )
    if config["model_type"] == "mpnet" and pretrained.pad_token_id != 1:
        raise PackageError(
            f"the pad_token_id of mpnet must be 1, not {pretrained.pad_token_id}: "
            "the transformers library numbers its positions from there",
            hint="Check config.json against the tokenizer.",
        )
    values = pretrained.to_dict()
    try:
        return BERTConfig.model_validate(
            {
                "family": config["model_type"],
                "width": pretrained.hidden_size,
                "layers": pretrained.num_hidden_layers,
                "heads": pretrained.num_attention_heads,
                "feed_forward": values.get("intermediate_size") or values["hidden_dim"],
                "dropout": values.get("hidden_dropout_prob", values.get("dropout", 0.1)),
                "pooling": pooling,
                "options": select_options(config, own_fields=OWN_FIELDS),
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "its values"
        raise PackageError(
            f"config.json cannot be used: {place}: {first['msg']}, not {shorten(first['input'])}",
            hint="Correct it, or write it anew by `model.save_pretrained(folder)`.",
        ) from error


def _max_positions(config: Mapping[str, Any]) -> int:
    """Return the maximum number of tokens."""
    pretrained = to_pretrained_config(config)
    unused = pretrained.pad_token_id + 1 if config["model_type"] in PADDING_OFFSET_FAMILIES else 0
    return int(pretrained.max_position_embeddings - unused)


def _read_pooling(folder: Path, *, has_pooler: bool) -> tuple[str, list[str]]:
    """Return the pooling of sentence-transformers, or else the pooler, or else the mean; and notes."""
    pooling, notes = read_pooling(folder, supported=POOLINGS)
    if pooling is not None:
        return pooling, notes
    return (
        ("pooler", notes) if has_pooler else ("mean", [*notes, "mean pooling over all tokens, as the folder has none"])
    )


def _write_pooling(folder: Path, pooling: str, *, width: int) -> None:
    modules = [_module(0, "", "Transformer"), _module(1, "1_Pooling", "Pooling")]
    fields = {"word_embedding_dimension": width, **{name: mode == pooling for name, mode in WRITTEN_POOLINGS.items()}}
    (folder / POOLING).parent.mkdir()
    (folder / POOLING).write_text(json.dumps(fields, indent=2) + "\n")
    (folder / MODULES).write_text(json.dumps(modules, indent=2) + "\n")


def _write_dense(folder: Path, network: Network, *, width: int) -> None:
    """Write the last layer as the Dense module of sentence-transformers."""
    assert network.head is not None
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.head.state_dict().items()}
    modules = json.loads((folder / MODULES).read_bytes())
    (folder / MODULES).write_text(json.dumps([*modules, _module(len(modules), "2_Dense", "Dense")], indent=2) + "\n")
    config = {
        "in_features": width,
        "out_features": len(tensors["linear.bias"]),
        "bias": True,
        "activation_function": IDENTITY,
    }
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, folder / "2_Dense" / "model.safetensors", metadata={"format": "pt"})


def _module(index: int, path: str, type_name: str) -> dict[str, Any]:
    return {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{type_name}"}
