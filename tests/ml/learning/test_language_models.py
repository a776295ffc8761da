"""Language models: pretraining, fine-tuning, and equal texts by both engines."""

from pathlib import Path

import pytest
import torch

from ml.data.rows import Rows
from ml.inference.predictor import Predictor
from ml.learning.export import torch_runner as torch_engine
from ml.learning.export.torch_runner import load_network
from ml.learning.nn.architectures import ARCHITECTURES
from ml.package.package import ModelPackage
from ml.tasks import TASKS
from ml.tasks.text_generation import CONTEXT_TOKENS, FORCED_TOKENS, TextGeneration
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

REQUEST = {"prompt": "a quiet film", "max_new_tokens": 12, "seed": 3}


def test_a_language_model_is_a_base_whose_weights_are_all_loaded(tmp_path: Path) -> None:
    data = samples.path(samples.columns_read_by(TASKS["text_generation"]))
    tiny = ARCHITECTURES["gpt"].tiny().model_dump(mode="json")
    base = run(
        data,
        tmp_path / "base",
        spec("pretrain", objective="causal_language_modeling", architecture={"name": "gpt", "config": tiny}),
    ).package
    result = run(
        data,
        tmp_path / "tuned",
        spec("finetune", task="text_generation", start_from="base"),
        start_from=base.directory,
    )
    transfer = result.report["transfer"]
    assert (transfer["new"], transfer["dropped"]) == ([], [])
    assert (
        {"loss", "perplexity", "bits_per_character"} == set(result.report["metrics"]) == set(result.report["baseline"])
    )

    package = ModelPackage.open(result.package.directory)
    by_graph = Predictor.load(package)
    by_torch = Predictor(package, engine="torch", run=torch_engine.load(package))
    assert by_graph.engine == "onnxruntime"
    (output,) = by_graph.predict([REQUEST])
    assert output == by_torch.predict([REQUEST])[0]
    assert output == by_graph.predict([{"prompt": "of another length, and longer", "max_new_tokens": 3}, REQUEST])[1]
    (embedding,) = by_graph.predict([REQUEST], parameters={"return": "embedding"})
    assert len(embedding["embedding"]) == tiny["width"]
    check_losses(package, by_graph)


def check_losses(package: ModelPackage, by_graph: Predictor) -> None:
    """Compare token losses of the graphs, step by step, with those of the network."""
    task = package.task()
    assert isinstance(task, TextGeneration)
    text = "the quiet film was a warm surprise and nobody left before the end of it"
    batch = task.collate(task.encode(Rows({"text": [text, "a film"]})))
    outputs = task.predict_with_targets(by_graph.run, batch)
    with torch.no_grad():
        expected = load_network(package).eval()({name: torch.from_numpy(array) for name, array in batch.items()})
    for row, (losses, weight) in enumerate(zip(outputs["token_loss"], outputs["weight"], strict=True)):
        real = int(batch["text_mask"][row].sum())
        context = min(CONTEXT_TOKENS, real - 1)
        count = min(FORCED_TOKENS, real - context)
        assert weight.sum() == count > 0
        assert losses[:count] == pytest.approx(expected["token_loss"][row, context - 1 :][:count].numpy(), abs=1e-4)
