"""The `plinth` command as a user types it."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from plinth.cli.main import to_shell_words
from tests.support.command import run_command
from tests.support.stack import RunningStack, clean_environment

pytestmark = pytest.mark.process

Run = Callable[..., subprocess.CompletedProcess[str]]


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, environment=environment, columns=140)


@pytest.fixture
def plinth_command(stack: RunningStack) -> Run:
    return lambda *arguments: run(*arguments, environment=stack.environment())


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("GET /api/v1/jobs lists all.", "`plinth jobs` lists all."),
        ("GET /api/v1/jobs/{job_id} has its state.", "`plinth jobs show` has its state."),
    ],
)
def test_hints_of_the_api_name_commands(message: str, words: str) -> None:
    assert to_shell_words(message) == words


def test_help_comes_without_waiting_for_libraries() -> None:
    program = "import sys, plinth.cli; print(*(name.split('.')[0] for name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"httpx2", "sklearn", "numpy", "torch", "pydantic"} & set(loaded)
    helped = run("--help")
    for command in ("up", "doctor", "upload", "train", "jobs", "watch", "predict", "models", "keys", "demo"):
        assert f" {command} " in helped.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["jobs"], "plinth up"),
        (["watch", "last"], "plinth up"),
        (["predict", "digits", "nowhere.png"], "nowhere.png"),
        (["upload", "nowhere.zip"], "nowhere.zip"),
    ],
)
def test_errors_are_sentences_and_the_exit_code_is_1(arguments: list[str], message: str, tmp_path: Path) -> None:
    environment = {**clean_environment(), "PLINTH_HOME": str(tmp_path), "PLINTH_URL": "http://127.0.0.1:9"}
    failed = run(*arguments, environment=environment)
    assert failed.returncode == 1
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr


def test_wrong_usage_exits_with_code_2(plinth_command: Run) -> None:
    assert run("train").returncode == 2
    assert "not JSON" in plinth_command("upload", __file__, "--columns", "{oops").stderr


def test_commands_lead_from_data_to_a_prediction(
    plinth_command: Run, digits_zip: Path, digit_files: list[Path], tmp_path: Path
) -> None:
    uploaded = plinth_command("upload", str(digits_zip), "--name", "typed", "--task", "image_classification")
    assert uploaded.returncode == 0, uploaded.stderr
    assert "typed@1 is ready" in uploaded.stdout
    assert "plinth train typed" in uploaded.stdout.splitlines()[-1]

    trained = plinth_command(
        *("train", "typed", "--model", "typed", "--architecture", "cnn", "--preset", "small"),
        *("--epochs", "2", "--batch-size", "64", "--set", "schedule.decay=constant"),
    )
    assert trained.returncode == 0, trained.stderr
    assert "succeeded -> typed@1" in trained.stdout
    assert "trivial baseline" in trained.stdout
    assert "Confusion matrix of 60 rows" in trained.stdout
    assert "plinth predict typed@1 FILE" in trained.stdout

    job = json.loads(plinth_command("jobs", "show").stdout)
    assert job["spec"]["schedule"]["decay"] == "constant"
    assert "typed@1" in plinth_command("jobs").stdout
    assert json.loads(plinth_command("jobs", "report", "--json").stdout)["rows"] == 60
    assert "succeeded" in plinth_command("watch").stdout
    assert "typed@1" in plinth_command("datasets").stdout

    assert plinth_command("models", "alias", "typed@1", "production").returncode == 0
    assert "production -> 1" in plinth_command("models").stdout

    model_output = plinth_command("models", "show", "typed@production")
    assert model_output.stdout.startswith("typed@1 (production): image_classification by cnn"), model_output.stderr
    assert "Runs on onnxruntime" in model_output.stdout
    assert "plinth predict typed@1 FILE" in model_output.stdout.splitlines()[-1]
    version = json.loads(plinth_command("models", "show", "typed", "--json").stdout)
    assert version["graphs"]["model"]["parity"]["labels_changed"] == 0
    assert "weights.safetensors" in {file["path"] for file in version["files"]}

    predictions = plinth_command("predict", "typed", *[str(file) for file in digit_files]).stdout.splitlines()
    answers = [json.loads(prediction) for prediction in predictions]
    assert [answer["input"] for answer in answers] == [str(file) for file in digit_files]
    assert [set(answer) for answer in answers] == [{"input", "label", "confidence", "probabilities"}] * 3
    (vector,) = plinth_command("predict", "typed", "--embedding", str(digit_files[0])).stdout.splitlines()
    assert len(json.loads(vector)["embedding"]) > 1

    download = plinth_command("models", "download", "typed@production", "--to", str(tmp_path))
    assert (tmp_path / "typed-1.zip").stat().st_size > 10_000, download.stderr
    assert "move or delete the alias first" in plinth_command("models", "delete", "typed", "--yes").stderr
    assert plinth_command("models", "unalias", "typed@production").returncode == 0
    unasked = plinth_command("models", "delete", "typed")
    assert (unasked.returncode, "typed@1" in unasked.stderr, "--yes" in unasked.stderr) == (2, True, True)
    deleted = plinth_command("models", "delete", "typed", "--yes")
    assert deleted.stdout.startswith("Deleted typed@1 ("), deleted.stderr
    missing = plinth_command("models", "show", "typed")
    assert missing.returncode == 1
    assert "typed" in missing.stderr


def test_a_job_is_rejected_started_detached_and_canceled(plinth_command: Run, digits_zip: Path) -> None:
    plinth_command("upload", str(digits_zip), "--name", "endless", "--task", "image_classification")
    rejected = plinth_command("train", "endless", "--model", "endless", "--architecture", "cn")
    assert rejected.returncode == 1
    assert "cnn" in rejected.stderr
    started = plinth_command(
        "train", "endless", "--model", "endless", "--architecture", "cnn", "--epochs", "5000", "--detach"
    )
    job = started.stdout.split()[0]
    assert started.stdout.splitlines()[-1].endswith(f"plinth watch {job}")
    assert plinth_command("jobs", "cancel", job).returncode == 0
    watched = plinth_command("watch", job)
    assert watched.returncode == 1
    assert "cancelled" in watched.stdout


def test_keys_are_created_listed_and_revoked(plinth_command: Run) -> None:
    created = plinth_command("keys", "create", "laptop")
    secret, explanation, next_step = created.stdout.splitlines()
    assert secret.startswith("plinth_")
    assert "may do everything" in explanation
    assert next_step.endswith("plinth keys")
    key_list = plinth_command("keys").stdout
    [line] = [line for line in key_list.splitlines() if "laptop" in line]
    key = next(word for word in line.split() if word.startswith("key_"))
    assert secret not in key_list
    assert plinth_command("keys", "revoke", key).returncode == 0


def test_the_doctor_passes_with_a_running_service(plinth_command: Run, stack: RunningStack) -> None:
    examined = plinth_command("doctor")
    assert examined.returncode == 0, examined.stdout
    result = [line.split()[:2] for line in examined.stdout.splitlines() if line.startswith(("ok", "FAIL"))]
    assert sorted(result) == [
        ["ok", part] for part in ("blobs", "broker", "database", "device", "disk", "service", "traces")
    ]
    assert stack.url in examined.stdout


def test_the_doctor_passes_before_the_first_start(tmp_path: Path) -> None:
    examined = run("doctor", environment={**clean_environment(), "PLINTH_HOME": str(tmp_path / "home")})
    assert examined.returncode == 0, examined.stdout
    assert "created at the first start" in examined.stdout
    assert examined.stdout.splitlines()[-1].endswith("plinth up")
    assert not (tmp_path / "home" / "plinth.db").exists(), "the doctor creates no database"


def test_the_doctor_prints_failures_with_their_fix(tmp_path: Path) -> None:
    examined = run(
        "doctor",
        environment={
            **clean_environment(),
            "PLINTH_HOME": str(tmp_path),
            "PLINTH_DEVICE": "cuda:99",
            "PLINTH_REDIS_URL": f"redis+socket://{tmp_path}/nobody.sock?virtual_host=0",
            "PLINTH_DATABASE_URL": "sqlite:////nowhere/at/all.db",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2",
        },
    )
    assert examined.returncode == 1
    for part in ("device", "traces", "broker", "database"):
        assert f"FAIL {part}" in examined.stdout
    assert "http://127.0.0.1:9/v1/traces does not accept traces" in examined.stdout
    assert examined.stdout.count("fix:") == 4
    assert "Traceback" not in examined.stdout + examined.stderr


def test_an_external_model_is_imported_runs_and_is_exported(
    plinth_command: Run, tmp_path: Path, digit_files: list[Path]
) -> None:
    from transformers import AutoModelForImageClassification, ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        num_channels=3, layer_type="basic", embedding_size=4, hidden_sizes=[4], depths=[1], id2label={0: "no", 1: "yes"}
    )
    ResNetForImageClassification(config).save_pretrained(tmp_path / "answers")
    (tmp_path / "answers" / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# Answers\n")
    imported = plinth_command("models", "import", str(tmp_path / "answers"))
    assert imported.returncode == 0, imported.stderr
    shown = plinth_command("models", "show", "answers")
    assert "license of model answers@1: CC-BY-NC-4.0  excludes commercial use" in shown.stdout
    assert "answers@1" in imported.stdout
    assert "preprocessor_config.json" in imported.stdout, "notes of the import are printed"
    predicted = plinth_command("predict", "answers", str(digit_files[0]))
    assert set(json.loads(predicted.stdout)["probabilities"]) == {"no", "yes"}
    watched = plinth_command("watch")
    assert watched.returncode == 0, watched.stderr
    assert "plinth models show answers@1" in watched.stdout
    assert "preprocessor_config.json" in plinth_command("jobs", "report", "last").stdout
    exported = plinth_command("models", "download", "answers", "--to", str(tmp_path), "--format", "huggingface")
    assert exported.returncode == 0, exported.stderr
    assert "plinth models download answers@1 --format huggingface" in plinth_command("watch").stdout
    assert plinth_command("jobs", "report").returncode == 0
    with zipfile.ZipFile(tmp_path / "answers-1-huggingface.zip") as archive:
        archive.extractall(tmp_path / "back")
    back = AutoModelForImageClassification.from_pretrained(tmp_path / "back")
    assert back.config.id2label == {0: "no", 1: "yes"}
    missing = plinth_command("models", "import", str(tmp_path / "nothing"))
    assert missing.returncode == 1
    assert "No such file" in missing.stderr
