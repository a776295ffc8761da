"""Encoders that read in both directions. The architecture holds the library's own network, so names agree as they are.

A head for classes is a layer that the library calls by another name in each family: BERT and RoBERTa have it behind
the tanh of a pooler, DistilBERT and ELECTRA behind a layer of the head's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import ValidationError
from safetensors.torch import save_file

from ml.config import Choice
from ml.encoders.text import TextEncoder
from ml.errors import PackageError
from ml.learning.interchange.families.base import ExportedModel, Family, ImportedModel
from ml.learning.interchange.load_pretrained import load_pretrained
from ml.learning.interchange.model_archive import read_json
from ml.learning.interchange.pretrained_config import base_prefix, class_of, described, options_of, settings_of
from ml.learning.interchange.save_pretrained import save_pretrained
from ml.learning.interchange.tokenizer_files import EXAMPLES, FILES, read_tokenizer, write_tokenizer
from ml.learning.nn.architectures.bert import BERT, PADDING_OFFSET_FAMILIES, BERTConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ml.learning.nn.network import Network
    from ml.package.package import ModelPackage

IDENTITY: Final = "torch.nn.modules.linear.Identity"
MODULES: Final = "modules.json"
POOLING: Final = "1_Pooling/config.json"
POOLINGS: Final[Mapping[str, str]] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}
"""How sentence-transformers calls what we have."""
OURS: Final = frozenset(
    {"hidden_size", "dim", "num_hidden_layers", "n_layers", "num_attention_heads", "n_heads", "intermediate_size"}
    | {"hidden_dim", "hidden_dropout_prob", "dropout"}
)
"""What `config.json` says that has a name of its own here."""


@dataclass(frozen=True, slots=True)
class _Head:
    """Where a family's head for classes stands: tensors of ours -> theirs, without `weight` and `bias`."""

    pooling: str
    hidden: str
    """What the layer before the last is followed by; `none` where the pooler is that layer."""
    layers: Mapping[str, str]
    pooler: str | None = None
    """Where their head has what our pooler is; None where they have a pooler, too."""


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
    """BERT and its kin."""

    name = "bert"
    slot = "text"
    model_types = frozenset(HEADS)
    files = (*FILES, MODULES, POOLING)
    tasks: ClassVar[Mapping[str, str]] = {"ForSequenceClassification": "text_classification"}

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any], *, task: str | None) -> ImportedModel:
        """With the tokenizer it came with, and pooled as it says."""
        kind = "AutoModelForSequenceClassification" if task else "AutoModel"
        prefix = base_prefix(config["model_type"]) if task else ""
        loaded = load_pretrained(folder, kind, may_lack=("pooler.", f"{prefix}pooler."))
        theirs = {name.removeprefix(prefix): each for name, each in loaded.tensors.items() if name.startswith(prefix)}
        others = {name: each for name, each in loaded.tensors.items() if not name.startswith(prefix)}
        head = HEADS[config["model_type"]]
        notes: list[str] = []
        if task:
            pooling = head.pooling
            if head.pooler is not None:
                theirs |= {f"pooler.dense.{part}": others.pop(f"{head.pooler}.{part}") for part in ("weight", "bias")}
        else:
            has_pooler = any(name.startswith("pooler.") for name in theirs) and not loaded.missing
            pooling, notes = _pooling(folder, has_pooler=has_pooler)
        architecture = _architecture(config, pooling)
        dropped = [*loaded.dropped]
        if pooling != "pooler":
            dropped += [name for name in theirs if name.startswith("pooler.") and name not in loaded.missing]
            theirs = {name: each for name, each in theirs.items() if not name.startswith("pooler.")}
        places = _places(config)
        encoder, more = read_tokenizer(folder, config, places=places)
        return ImportedModel(
            architecture=Choice(name=cls.name, config=architecture.model_dump(mode="json")),
            encoder=encoder,
            backbone={f"model.{name}": each for name, each in theirs.items()},
            head={
                f"{ours}.{part}": others[f"{their}.{part}"]
                for ours, their in head.layers.items()
                for part in ("weight", "bias")
            }
            if task
            else {},
            options={"hidden": head.hidden} if task else {},
            dropped=sorted(dropped),
            notes=[*notes, *more],
        )

    @classmethod
    def examples(cls) -> list[Any]:
        """Sentences, short and long."""
        return [*EXAMPLES] * 2

    @classmethod
    def write(cls, package: ModelPackage, network: Network, folder: Path) -> ExportedModel:
        """With its tokenizer; a head that no class of the library has, as sentence-transformers reads it."""
        backbone = network.backbones[cls.slot]
        assert isinstance(backbone, BERT)
        config = BERTConfig.model_validate(package.manifest.architectures[cls.slot].config)
        if config.prompt:
            message = "a prompt that was learned has no place in a Hugging Face folder"
            raise PackageError(message, hint="Serve the model here, or tune with lora or adapters instead.")
        head, notes = HEADS[config.family], []
        fits = (
            package.manifest.task is not None
            and package.manifest.head is not None
            and config.pooling == head.pooling
            and package.manifest.head.config.get("hidden", "none") == head.hidden
        )
        tensors = backbone.model.state_dict()
        theirs = backbone.model.config
        kind = class_of(config.family, "ForSequenceClassification" if fits else "Model")
        layers = {
            f"{their}.{part}": f"{ours}.{part}" for ours, their in head.layers.items() for part in ("weight", "bias")
        }
        moved = {}
        if fits and head.pooler is not None:
            moved = {f"{head.pooler}.{part}": tensors.pop(f"pooler.dense.{part}") for part in ("weight", "bias")}
        save_pretrained(
            folder,
            kind,
            described(theirs),
            backbone=tensors,
            prefix=f"{backbone.model.base_model_prefix}.",
            head=layers if fits else {},
            beside=moved,
            package=package,
            network=network,
        )
        encoder = package.encoders()[cls.slot]
        assert isinstance(encoder, TextEncoder)
        write_tokenizer(encoder, folder)
        if config.pooling != "pooler":
            _write_pooling(folder, config.pooling, width=backbone.widths.pooled)
        if package.manifest.task is not None and not fits:
            _write_dense(folder, network, width=backbone.widths.pooled)
            notes.append(
                f"no class of {config.family} has a head over the pooling {config.pooling}: the folder loads without "
                "one, and the last layer lies in 2_Dense, where sentence-transformers reads it"
            )
        lacks = () if config.pooling == "pooler" else ("pooler.",)
        return ExportedModel("AutoModelForSequenceClassification" if fits else "AutoModel", notes, lacks)

    @classmethod
    def ask(cls, model: Any, arrays: Mapping[str, Tensor], package: ModelPackage) -> Tensor:
        """`logits`, else pooled as the package says."""
        mask_BT = arrays[f"{cls.slot}_mask"]
        answer = model(input_ids=arrays[cls.slot], attention_mask=mask_BT.long())
        if "logits" in answer:
            logits: Tensor = answer.logits
            return logits
        pooling = package.manifest.architectures[cls.slot].config["pooling"]
        if pooling == "pooler":
            pooled: Tensor = answer.pooler_output
            return pooled
        sequence_BTD: Tensor = answer.last_hidden_state
        if pooling == "first":
            return sequence_BTD[:, 0]
        weight_BT1 = mask_BT[..., None].to(sequence_BTD.dtype)
        return (sequence_BTD * weight_BT1).sum(dim=1) / weight_BT1.sum(dim=1)


def _architecture(config: Mapping[str, Any], pooling: str) -> BERTConfig:
    """Sizes by our names, everything else by theirs; raises `PackageError` for variants that are not built here."""
    theirs = settings_of(config)
    position = config.get("position_embedding_type", "absolute")
    if position != "absolute" or config.get("is_decoder") or config.get("add_cross_attention"):
        raise PackageError("only encoders with absolute positions are read")
    if config["model_type"] == "mpnet" and theirs.pad_token_id != 1:
        raise PackageError("an mpnet has a pad_token_id of 1: from there the library counts its positions")
    known = theirs.to_dict()
    try:
        return BERTConfig.model_validate(
            {
                "family": config["model_type"],
                "width": theirs.hidden_size,
                "layers": theirs.num_hidden_layers,
                "heads": theirs.num_attention_heads,
                "feed_forward": known.get("intermediate_size") or known["hidden_dim"],
                "dropout": known.get("hidden_dropout_prob", known.get("dropout", 0.1)),
                "pooling": pooling,
                "options": options_of(config, ours=OURS),
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PackageError(f"config.json cannot be used: {first['loc'][0]}: {first['msg']}") from error


def _places(config: Mapping[str, Any]) -> int:
    """Tokens that there are positions for."""
    theirs = settings_of(config)
    before = theirs.pad_token_id + 1 if config["model_type"] in PADDING_OFFSET_FAMILIES else 0
    return int(theirs.max_position_embeddings - before)


def _pooling(folder: Path, *, has_pooler: bool) -> tuple[str, list[str]]:
    """As sentence-transformers wrote it down; else by the pooler that it was published with; else the mean."""
    if not (folder / POOLING).is_file():
        return ("pooler", []) if has_pooler else ("mean", ["pooled by the mean of all tokens: the folder says nothing"])
    said = read_json(folder / POOLING)
    chosen = [name for name, wanted in said.items() if name.startswith("pooling_mode_") and wanted is True]
    notes = []
    if len(chosen) == 1 and chosen[0] in POOLINGS:
        pooling = POOLINGS[chosen[0]]
    else:
        pooling = "mean"
        notes.append(f"pooled by the mean: {' and '.join(chosen) or 'nothing'} is not known here")
    listed = json.loads((folder / MODULES).read_bytes()) if (folder / MODULES).is_file() else []
    kinds = [str(each.get("type", "")).rpartition(".")[2] for each in listed if isinstance(each, dict)]
    if "Normalize" in kinds:
        notes.append("embeddings are given as they are; sentence-transformers would bring them to a length of 1")
    if "Dense" in kinds:
        notes.append("the layers behind the pooling (Dense) are left out")
    return pooling, notes


def _write_pooling(folder: Path, pooling: str, *, width: int) -> None:
    modules = [_module(0, "", "Transformer"), _module(1, "1_Pooling", "Pooling")]
    said = {"word_embedding_dimension": width, **{name: ours == pooling for name, ours in POOLINGS.items()}}
    (folder / POOLING).parent.mkdir()
    (folder / POOLING).write_text(json.dumps(said, indent=2) + "\n")
    (folder / MODULES).write_text(json.dumps(modules, indent=2) + "\n")


def _write_dense(folder: Path, network: Network, *, width: int) -> None:
    """The last layer, as sentence-transformers reads it behind the pooling."""
    assert network.head is not None
    tensors = {name: each.detach().cpu().contiguous() for name, each in network.head.state_dict().items()}
    modules = json.loads((folder / MODULES).read_bytes())
    (folder / MODULES).write_text(json.dumps([*modules, _module(len(modules), "2_Dense", "Dense")], indent=2) + "\n")
    said = {
        "in_features": width,
        "out_features": len(tensors["linear.bias"]),
        "bias": True,
        "activation_function": IDENTITY,
    }
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "config.json").write_text(json.dumps(said, indent=2) + "\n")
    save_file(tensors, folder / "2_Dense" / "model.safetensors", metadata={"format": "pt"})


def _module(number: int, path: str, kind: str) -> dict[str, Any]:
    return {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
