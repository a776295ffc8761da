"""From texts to a base model, from that to one that writes, and both engines write alike."""

from pathlib import Path

import pytest
import torch

from ml.data.rows import Rows
from ml.inference.predictor import Predictor
from ml.learning.export import torch_runner as torch_engine
from ml.learning.export.torch_runner import network_of
from ml.learning.nn.architectures import ARCHITECTURES
from ml.package.package import ModelPackage
from ml.tasks import TASKS
from ml.tasks.text_generation import CONTEXT_TOKENS, FORCED_TOKENS, TextGeneration
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

ASKED = {"prompt": "a quiet film", "max_new_tokens": 12, "seed": 3}


def test_a_language_model_is_a_base_to_write_with_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    data = samples.path(TASKS["text_generation"].columns)
    tiny = ARCHITECTURES["gpt"].tiny().model_dump(mode="json")
    base = run(
        data,
        tmp_path / "base",
        spec("pretrain", objective="causal_language_modeling", architecture={"name": "gpt", "config": tiny}),
    ).package
    made = run(
        data,
        tmp_path / "made",
        spec("finetune", task="text_generation", start_from="base"),
        start_from=base.directory,
    )
    assert made.report is not None
    transfer = made.report["transfer"]
    assert (transfer["new"], transfer["dropped"]) == ([], [])
    assert {"loss", "perplexity", "bits_per_character"} == set(made.report["metrics"]) == set(made.report["baseline"])

    package = ModelPackage.open(made.package.directory)
    by_graph = Predictor.load(package)
    by_torch = Predictor(package, engine="torch", run=torch_engine.load(package))
    assert by_graph.engine == "onnxruntime"
    (said,) = by_graph.predict([ASKED])
    assert said == by_torch.predict([ASKED])[0]
    assert said == by_graph.predict([{"prompt": "of another length, and longer", "max_new_tokens": 3}, ASKED])[1]
    (embedded,) = by_graph.predict([ASKED], parameters={"return": "embedding"})
    assert len(embedded["embedding"]) == tiny["width"]
    judged_alike(package, by_graph)


def judged_alike(package: ModelPackage, by_graph: Predictor) -> None:
    """Its graphs, token by token, find a text as improbable as its network does that reads all of it at once."""
    task = package.task()
    assert isinstance(task, TextGeneration)
    text = "the quiet film was a warm surprise and nobody left before the end of it"
    batch = task.collate(task.encode(Rows({"text": [text, "a film"]})))
    told = task.answer_rows(by_graph.run, batch)
    with torch.no_grad():
        expected = network_of(package).eval()({name: torch.from_numpy(each) for name, each in batch.items()})
    for row, (nats, weight) in enumerate(zip(told["token_loss"], told["weight"], strict=True)):
        real = int(batch["text_mask"][row].sum())
        given = min(CONTEXT_TOKENS, real - 1)
        count = min(FORCED_TOKENS, real - given)
        assert weight.sum() == count > 0
        assert nats[:count] == pytest.approx(expected["token_loss"][row, given - 1 :][:count].numpy(), abs=1e-4)
