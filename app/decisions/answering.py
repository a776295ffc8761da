"""Answers questions by a model's classes, its number, its boxes, or by similarity.

A model that knows the options by name answers with its own calibrated probabilities. One that embeds texts compares any
options with the input; its probabilities are not calibrated, and answers say so by their source.
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from app.decisions.answers import Answer, Box, normalize
from app.http.errors import ProblemError, summarize
from app.predict.similarity import cosine_similarities
from app.serving.access import listed_names
from ml.data.files.images import read_size
from ml.errors import Finding
from store import models
from store.database import reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.decisions.questions import DecisionInput, Question
    from app.serving.service import PredictService
    from app.serving.types import ServedVersion
    from ml.metrics.calibration import Calibration

#: Name of a model that clients of System One send by default.
ANY_MODEL: Final = "jev-latest"
#: Models among which one is looked for that can stand for that name.
MAX_MODELS: Final = 200
#: Options of all questions of a request that a model compares with the input.
MAX_OPTIONS: Final = 4096
#: Texts that are embedded by one call.
TEXTS_PER_CALL: Final = 256
#: Factor of the cosine similarity before the softmax, as CLIP's logit scale is learned up to (Radford et al. 2021).
SIMILARITY_SCALE: Final = 20.0
#: What stands for a text without content.
BLANK: Final = "-"
#: Tasks of models that can stand for `ANY_MODEL` beside base models of texts, the ablest first.
FURTHER_TASKS: Final = ("image_text_matching", "text_classification")
#: Labels by which a class says yes.
YES: Final = frozenset({"true", "yes", "1", "positive", "y", "t", "+"})
#: Labels of two classes that mean yes or no: their words in a question do not refer to a class.
BARE: Final = frozenset({"true", "yes", "1", "y", "t", "+", "false", "no", "0", "n", "f", "-"})
#: Labels of two classes of which one can say yes.
VERDICTS: Final = BARE | {"positive", "negative"}
#: Words by which a question asks for the opposite.
NEGATIONS: Final = re.compile(
    r"(?<!\w)(not|no|never|neither|nor|without|cannot)(?!\w)|n['\u2019]t(?!\w)", re.IGNORECASE
)


class Refusal(Exception):
    """A question that the model cannot answer, and why."""

    def __init__(self, question: Question, message: str) -> None:
        super().__init__(message)
        self.finding = Finding(
            code="does_not_fit",
            message=message,
            path=question.path,
            hint="Ask for classes of the model, or name a model that embeds texts, which compares any options.",
        )

    def to_problem(self) -> ProblemError:
        """Return the error 422 of a protocol that knows no refusals."""
        return ProblemError(422, "invalid_request", summarize([self.finding]), errors=[self.finding])


class Decider:
    """Answers the questions of one request."""

    def __init__(self, service: PredictService, served: ServedVersion, decision_input: DecisionInput) -> None:
        self._service = service
        self.served = served
        self._input = decision_input
        self._reference = f"{served.name}@{served.version}"
        self._output: dict[str, Any] | None = None
        self._embedding: list[float] | None = None

    @classmethod
    async def open(
        cls, service: PredictService, model: str, decision_input: DecisionInput, questions: Sequence[Question]
    ) -> Decider:
        """Resolve the model; raises `ModelNotFound`, and `ProblemError` for too many options."""
        check_options(questions)
        return cls(service, await service.names.resolve(model), decision_input)

    async def answer(self, question: Question) -> Answer:
        """Answer a question; raises `Refusal`, and the errors of `PredictService.predict`."""
        task = self.served.task or ""
        if question.kind == "box":
            return await self._locate(question)
        if task.endswith("_regression"):
            return await self._measure(question)
        if task.endswith("_classification"):
            return await self._classify(question)
        if task == "image_text_matching":
            return await self._match(question)
        return await self._compare(question)

    async def count_tokens(self) -> int:
        """Return the tokens of the input text; 0 for a model that reads none."""
        text = counted_text(self.served, self._input)
        return 0 if text is None else await self._service.count_tokens(self.served, [text])

    async def _predict(self) -> Mapping[str, Any]:
        """Return the output of the model for the input, computed once."""
        if self._output is None:
            native = native_input(self.served, self._input)
            result = await self._service.predict(self._reference, [native], parameters={})
            self._output = dict(result.outputs[0])
        return self._output

    async def _classify(self, question: Question) -> Answer:
        output = await self._predict()
        model = await self._service.load(self._reference)
        return classify(self.served, question, output, calibration=model.predictor.adapter.calibration)

    async def _measure(self, question: Question) -> Answer:
        """Answer a score by a predicted number, between its two next levels."""
        if question.kind != "score":
            message = f"{self.served.name} predicts a number, which answers questions of the type score"
            raise Refusal(question, f"{message}; send that type, or use a classifier")
        levels = [_to_number(option.name, index) for index, option in enumerate(question.options)]
        value = float((await self._predict())["value"])
        return Answer(_spread(value, levels), "regression")

    async def _locate(self, question: Question) -> Answer:
        """Answer with the surest box; with instructions that name classes, with the surest of these."""
        if self.served.task != "object_detection" or self._input.image is None:
            raise Refusal(
                question, f"{self.served.name} gives no box; it needs a model of object_detection, and an image"
            )
        output = await self._predict()
        words = question.instructions.lower()
        objects = output["objects"]
        named = [item for item in objects if item["label"].lower() in words] or objects
        if not named:
            raise Refusal(question, "no object was found; send an image that shows an object of the model's classes")
        best = max(named, key=lambda item: item["confidence"])
        left, top, right, bottom = best["box"]
        size = read_size(base64.b64decode(self._input.image))
        assert size is not None, "the image was read"
        width, height = size
        box = Box(top=top / height, bottom=bottom / height, left=left / width, right=right / width)
        return Answer((), "detection", box=box, box_confidence=best["confidence"])

    async def _match(self, question: Question) -> Answer:
        """Rank the options by a model of images and texts."""
        content = {"image": self._input.image} if self._input.image else {"text": self._input.text or BLANK}
        texts = [option.text.strip() or BLANK for option in question.options]
        request = {**content, "candidates": list(dict.fromkeys(texts))}
        result = await self._service.predict(self._reference, [request], parameters={})
        scores = {score["text"]: score["probability"] for score in result.outputs[0]["scores"]}
        return Answer(normalize([scores[text] for text in texts]), "similarity")

    async def _compare(self, question: Question) -> Answer:
        """Compare the embeddings of the options with that of the input."""
        if self._embedding is None:
            (self._embedding,) = await self._embed([self._input.text or ""])
        options = await self._embed([option.text for option in question.options])
        similarities = cosine_similarities(self._embedding, options)
        largest = max(similarities)
        weights = [math.exp(SIMILARITY_SCALE * (similarity - largest)) for similarity in similarities]
        return Answer(normalize(weights), "similarity")

    async def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        vectors: list[list[float]] = []
        for start in range(0, len(texts), TEXTS_PER_CALL):
            inputs = [{"text": text or BLANK} for text in texts[start : start + TEXTS_PER_CALL]]
            result = await self._service.predict(self._reference, inputs, parameters={"return": "embedding"})
            vectors += [output["embedding"] for output in result.outputs]
        return vectors


def check_options(questions: Sequence[Question]) -> None:
    """Raise `ProblemError` 422 for too many options."""
    options = sum(len(question.options) for question in questions)
    if options > MAX_OPTIONS:
        message = f"the questions have {options:,} options; at most {MAX_OPTIONS:,} are compared"
        finding = Finding(code="too_large", message=message, path="questions", hint="Send fewer questions at once.")
        raise ProblemError(422, "invalid_request", summarize([finding]), errors=[finding])


def native_input(served: ServedVersion, decision_input: DecisionInput) -> dict[str, Any]:
    """Return the input of `/predict` for a model of any task."""
    task = served.task or ""
    if task.startswith("text"):
        return {"text": decision_input.text or ""}
    if task.startswith("multimodal"):
        image = {"image": decision_input.image} if decision_input.image is not None else {}
        return {**(decision_input.fields or _to_text_part(decision_input)), **image}
    if task.startswith(("image", "object")) and decision_input.image is not None:
        return {"image": decision_input.image}
    if decision_input.fields is not None:
        return dict(decision_input.fields)
    return {"text": decision_input.text or ""}


def _to_text_part(decision_input: DecisionInput) -> dict[str, Any]:
    return {"text": decision_input.plain_text} if decision_input.plain_text else {}


def counted_text(served: ServedVersion, decision_input: DecisionInput) -> str | None:
    """Return the text whose tokens are counted; None for a model that reads none."""
    reads_text = served.task is None or served.task.startswith("text")
    return decision_input.text if reads_text else None


def classify(
    served: ServedVersion, question: Question, output: Mapping[str, Any], *, calibration: Calibration | None = None
) -> Answer:
    """Answer a question about the classes of a model from its output; raises `Refusal`.

    The thresholds of a calibration are for choices among all classes, or a yes or no about one of two.
    """
    probabilities: Mapping[str, float] = output["probabilities"]
    thresholds = () if calibration is None else calibration.thresholds
    if question.kind == "predicate":
        answer = _affirm(served, question, probabilities)
        return replace(answer, thresholds=thresholds) if len(probabilities) == 2 else answer
    labels = _find_labels(question, probabilities)
    if None in labels:
        unknown = ", ".join(option.name for option, label in zip(question.options, labels, strict=True) if not label)
        classes = ", ".join(list(probabilities)[:20])
        raise Refusal(question, f"{served.name} has no class {unknown}; its classes are {classes}")
    values = [probabilities[label] for label in labels if label is not None]
    if len(set(labels)) != len(probabilities):
        return Answer(normalize(values), "some_classes")
    is_choice_of_all = len(labels) == len(probabilities)
    return Answer(normalize(values), "classes", thresholds=thresholds if is_choice_of_all else ())


def _find_labels(question: Question, probabilities: Mapping[str, float]) -> Sequence[str | None]:
    """Return the class that each option names in any case, or None."""
    names = [option.name for option in question.options]
    if probabilities.keys() >= set(names):
        return names
    labels = {label.lower(): label for label in probabilities}
    return [name if name in probabilities else labels.get(name.lower()) for name in names]


def _affirm(served: ServedVersion, question: Question, probabilities: Mapping[str, float]) -> Answer:
    """Answer by the class that the question names, else by the one that says yes.

    Raises `Refusal` for a question that names several classes or asks for the opposite: its words are not understood,
    and a guess would be as sure of the wrong answer.
    """
    labels = list(probabilities)
    words = " ".join([question.instructions, *(option.description for option in question.options[:1])])
    is_pair = len(labels) == 2
    named, rest = _find_named([label for label in labels if not is_pair or label.lower() not in BARE], words)
    if not named and is_pair and all(label.lower() in VERDICTS for label in labels):
        named = [label for label in labels if label.lower() in YES]
    if len(named) != 1:
        classes = ", ".join(labels[:20])
        message = f"it is not clear which class of {served.name} says yes: {classes}"
        raise Refusal(question, f"{message}; name one of them in the instructions")
    if negation := NEGATIONS.search(rest):
        message = f"the question asks for the opposite ({negation.group()!r}), which {served.name} does not understand"
        raise Refusal(question, f"{message}; ask whether it is {named[0]}")
    probability = probabilities[named[0]]
    return Answer((probability, 1 - probability), "classes")


def _find_named(labels: Sequence[str], words: str) -> tuple[list[str], str]:
    """Return the labels that are whole words of a text, and its rest.

    The longest are looked for first, so that "not spam" does not name "spam" as well.
    """
    named: list[str] = []
    for label in sorted(labels, key=len, reverse=True):
        rest, count = re.subn(rf"(?<!\w){re.escape(label)}(?!\w)", " ", words, flags=re.IGNORECASE)
        if count:
            named.append(label)
            words = rest
    return named, words


def find_any_model() -> str | None:
    """Return the newest model that compares texts, else the newest text classifier."""
    with reading() as session:
        rows = models.listing(session, limit=MAX_MODELS, cursor=None, among=listed_names(session)).items
    bases = [row.name for row in rows if row.task is None and "text" in row.architectures]
    others = [row.name for task in FURTHER_TASKS for row in rows if row.task == task]
    return next(iter([*bases, *others]), None)


def _to_number(name: str, index: int) -> float:
    try:
        return float(name)
    except ValueError:
        return float(index)


def _spread(value: float, levels: Sequence[float]) -> tuple[float, ...]:
    """Return probabilities of the two levels around a value, whose mean it is."""
    probabilities = [0.0] * len(levels)
    order = sorted(range(len(levels)), key=levels.__getitem__)
    below = [index for index in order if levels[index] <= value]
    above = [index for index in order if levels[index] > value]
    if not below or not above:
        probabilities[(below or above)[-1 if below else 0]] = 1.0
        return tuple(probabilities)
    low, high = below[-1], above[0]
    fraction = (value - levels[low]) / (levels[high] - levels[low])
    probabilities[low], probabilities[high] = 1 - fraction, fraction
    return tuple(probabilities)
