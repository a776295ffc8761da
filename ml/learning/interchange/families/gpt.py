"""Decoders that read from left to right. The architecture holds the library's own network: names agree as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, get_args

from pydantic import ValidationError

from ml.config import Choice
from ml.encoders.text import TextEncoder
from ml.errors import PackageError
from ml.learning.interchange.families.base import ExportedModel, Family, ImportedModel
from ml.learning.interchange.load_pretrained import load_pretrained
from ml.learning.interchange.pretrained_config import base_prefix, class_of, described, options_of, settings_of
from ml.learning.interchange.save_pretrained import save_pretrained
from ml.learning.interchange.tokenizer_files import EXAMPLES, FILES, read_tokenizer, write_tokenizer
from ml.learning.nn.architectures.gpt import GPT, GPTConfig
from ml.learning.nn.layers.causal_mask import last_position

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ml.learning.nn.network import Network
    from ml.package.package import ModelPackage

OURS: Final = frozenset(
    {"hidden_size", "n_embd", "num_hidden_layers", "n_layer", "num_attention_heads", "n_head", "use_cache"}
    | {"pad_token_id", "bos_token_id", "eos_token_id"}
)
"""What `config.json` says that has a name of its own here, or says nothing of the network."""
WRITERS: Final = ("lm_head", "embed_out")
"""What a family calls the layer that tells the next token."""


class GPTFamily(Family):
    """GPT-2, Llama and their kin."""

    name = "gpt"
    slot = "text"
    model_types = frozenset(get_args(GPTConfig.model_fields["family"].annotation))
    files = FILES
    tasks: ClassVar[Mapping[str, str]] = {"LMHeadModel": "text_generation", "ForCausalLM": "text_generation"}

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any], *, task: str | None) -> ImportedModel:
        """With the tokenizer it came with; one that writes has a table of its own where it does not share that one."""
        family = config["model_type"]
        prefix = base_prefix(family) if task else ""
        loaded = load_pretrained(folder, "AutoModelForCausalLM" if task else "AutoModel", may_lack=_shared(config))
        theirs = {name.removeprefix(prefix): each for name, each in loaded.tensors.items() if name.startswith(prefix)}
        others = {name: each for name, each in loaded.tensors.items() if not name.startswith(prefix)}
        head, options = {}, {}
        if task:
            writer = next(name for name in WRITERS if f"{name}.weight" in others)
            if f"{writer}.bias" in others:
                raise PackageError(
                    f"a {family} tells the next token with a bias, which is not done here",
                    hint="Bring the model without its head: AutoModel.from_pretrained(...).save_pretrained(...).",
                )
            if not settings_of(config).tie_word_embeddings:
                table = others[f"{writer}.weight"]
                head, options = {"own_table.weight": table}, {"vocabulary": len(table)}
        architecture = _architecture(config)
        places = [settings_of(config).max_position_embeddings]
        window = architecture.options.get("sliding_window")
        if window and architecture.options.get("use_sliding_window", True):
            places.append(window)
        encoder, notes = read_tokenizer(folder, config, places=min(places))
        return ImportedModel(
            architecture=Choice(name=cls.name, config=architecture.model_dump(mode="json")),
            encoder=encoder,
            backbone={f"model.{name}": each for name, each in theirs.items()},
            head=head,
            state={"prompted": False} if task else {},
            head_options=options,
            dropped=loaded.dropped,
            notes=notes,
        )

    @classmethod
    def examples(cls) -> list[Any]:
        """Sentences, short and long."""
        return [*EXAMPLES]

    @classmethod
    def write(cls, package: ModelPackage, network: Network, folder: Path) -> ExportedModel:
        """With its tokenizer, and with its head where it writes."""
        backbone, encoder = network.backbones[cls.slot], package.encoders()[cls.slot]
        assert isinstance(backbone, GPT)
        assert isinstance(encoder, TextEncoder)
        writes = package.manifest.task is not None
        family = backbone.settings.model_type
        own = network.head is not None and "own_table.weight" in network.head.state_dict()
        writer = "embed_out" if family == "gpt_neox" else "lm_head"
        save_pretrained(
            folder,
            class_of(family, "ForCausalLM" if writes else "Model"),
            {**described(backbone.settings), "tie_word_embeddings": not own, **_special(encoder)},
            backbone=backbone.model.state_dict(),
            prefix=base_prefix(family),
            head={f"{writer}.weight": "own_table.weight"} if own else {},
            package=package,
            network=network,
        )
        write_tokenizer(encoder, folder)
        return ExportedModel(
            "AutoModelForCausalLM" if writes else "AutoModel", lacks=() if own else _WRITTEN_WITH_THE_TABLE
        )

    @classmethod
    def ask(cls, model: Any, arrays: Mapping[str, Tensor], package: ModelPackage) -> Tensor:
        """`logits` of what follows the last token, else what that token means."""
        mask_BT = arrays[f"{cls.slot}_mask"]
        answer = model(input_ids=arrays[cls.slot], attention_mask=mask_BT.long(), use_cache=False)
        return last_position(answer.logits if "logits" in answer else answer.last_hidden_state, mask_BT)


_WRITTEN_WITH_THE_TABLE: Final = tuple(f"{name}." for name in WRITERS)


def _shared(config: Mapping[str, Any]) -> tuple[str, ...]:
    """One table reads and writes, and is in the files once."""
    return _WRITTEN_WITH_THE_TABLE if settings_of(config).tie_word_embeddings else ()


def _architecture(config: Mapping[str, Any]) -> GPTConfig:
    """Sizes by our names, everything else by theirs; raises `PackageError`."""
    theirs = settings_of(config)
    options = options_of(config, ours=OURS)
    options.pop("pad_token_id", None)
    try:
        return GPTConfig(
            family=config["model_type"],
            width=theirs.hidden_size,
            layers=theirs.num_hidden_layers,
            heads=theirs.num_attention_heads,
            options=options,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PackageError(f"config.json cannot be used: {first['loc'][0]}: {first['msg']}") from error


def _special(encoder: TextEncoder) -> dict[str, int]:
    """Where a text begins and ends, for the library's own loop."""
    names = {"bos_token_id": "begin", "eos_token_id": "end", "pad_token_id": "padding"}
    return {name: encoder.tokens[role] for name, role in names.items() if role in encoder.tokens}
