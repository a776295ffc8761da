"""From texts to a base model, from that to one that writes, and both engines write alike."""

from pathlib import Path

from ml.learning import run as torch_engine
from ml.learning.architectures import ARCHITECTURES
from ml.package import ModelPackage
from ml.predictor import Predictor
from ml.tasks import TASKS
from tests.ml import samples
from tests.ml.learning.digits import run, spec

ASKED = {"prompt": "a quiet film", "max_new_tokens": 12, "seed": 3}


def test_a_language_model_is_a_base_to_write_with_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    data = samples.path(TASKS["text_generation"].columns)
    tiny = ARCHITECTURES["gpt"].tiny().model_dump(mode="json")
    base = run(
        data,
        tmp_path / "base",
        spec("pretrain", objective="causal_language_modelling", architecture={"name": "gpt", "config": tiny}),
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
