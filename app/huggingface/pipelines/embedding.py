"""Embeddings of texts and files, and the similarity of sentences by them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from app.huggingface.pipelines.base import (
    INPUTS,
    LABELS,
    LABELS_HINT,
    Pipeline,
    PipelineRequest,
    check_members,
    invalid,
)
from app.predict.schemas import MAX_INPUTS
from app.predict.similarity import cosine_similarities, to_relevance
from ml.errors import PARAMETERS, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SOURCE: Final = "source_sentence"
SENTENCES: Final = "sentences"
QUERY: Final = "query"
TEXTS: Final = "texts"
#: Options of a ranking, with their defaults.
_RERANK_FLAGS: Final[Mapping[str, bool]] = {"raw_scores": False, "return_text": False, "truncate": True}
#: Parameters of embeddings, which clients send beside `inputs`.
_OPTIONS: Final = ("normalize", "truncate", "truncation_direction", "prompt_name", "dimensions", "encoding_format")


class FeatureExtraction(Pipeline):
    """One vector for each input."""

    #: Whether vectors have the length 1, unless the request says so.
    normalizes = False

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return an input for each text or file, and request the embedding."""
        if isinstance(request.inputs, dict) and SOURCE in request.inputs:
            return SentenceSimilarity().to_inputs(request)
        check_members(request, _OPTIONS)
        request.parameters.update((name, request.members.pop(name)) for name in _OPTIONS if name in request.members)
        for name, allowed, hint in (
            (LABELS, [], LABELS_HINT),
            ("truncation_direction", ["right", "Right"], "Leave it out: the beginning of a text is read."),
            ("prompt_name", [], "Put the prompt before each text yourself."),
            ("dimensions", [], "Leave it out: an embedding has the width that its model was trained with."),
            ("encoding_format", ["float"], "Leave it out: vectors are lists of numbers."),
        ):
            request.take_only(name, allowed, hint=hint)
        request.members["normalize"] = _take_flag(request, "normalize", default=self.normalizes)
        request.members["truncate"] = _take_flag(request, "truncate", default=True)
        request.parameters["return"] = "embedding"
        return [value if isinstance(value, bytes) else {"text": value} for value in request.values("a text")]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return a list of vectors, or the similarities of sentences."""
        if SENTENCES in request.members:
            return SentenceSimilarity().to_answer(outputs, request)
        if not request.members["truncate"]:
            _refuse_truncated(outputs, request)
        vectors = [output["embedding"] for output in outputs]
        return [_to_unit(vector) for vector in vectors] if request.members["normalize"] else vectors

    def path_of(self, request: PipelineRequest, index: int, path: str) -> str:
        """Return the place of an input, or of a sentence."""
        is_similarity = SENTENCES in request.members
        return (
            SentenceSimilarity().path_of(request, index, path)
            if is_similarity
            else super().path_of(request, index, path)
        )


class NormalizedEmbedding(FeatureExtraction):
    """One vector of length 1 for each text, as text-embeddings-inference answers."""

    normalizes = True


class SentenceSimilarity(Pipeline):
    """Cosine similarity of each sentence to another one, by their embeddings."""

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return the source first, then the sentences, and request their embeddings."""
        check_members(request)
        inputs = request.inputs
        hint = f'Send {{"inputs": {{"{SOURCE}": "...", "{SENTENCES}": ["...", "..."]}}}}.'
        if not isinstance(inputs, dict) or inputs.keys() != {SOURCE, SENTENCES}:
            raise invalid(f"must have {SOURCE} and {SENTENCES}", path=INPUTS, hint=hint)
        sentences = inputs[SENTENCES]
        if not isinstance(sentences, list) or not 1 <= len(sentences) < MAX_INPUTS:
            raise invalid(f"must be a list of 1 to {MAX_INPUTS - 1:,}", path=f"{INPUTS}.{SENTENCES}", hint=hint)
        request.members[SENTENCES] = True
        request.parameters["return"] = "embedding"
        return [{"text": text} for text in (inputs[SOURCE], *sentences)]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return a number for each sentence."""
        source, *sentences = (output["embedding"] for output in outputs)
        return cosine_similarities(source, sentences)

    def path_of(self, request: PipelineRequest, index: int, path: str) -> str:
        """Return the place of a sentence."""
        if path.partition(".")[0] == PARAMETERS:
            return path
        return f"{INPUTS}.{SENTENCES}.{index - 1}" if index else f"{INPUTS}.{SOURCE}"


class Reranking(Pipeline):
    """Texts by their similarity to a query, the most similar first."""

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return the query first, then the texts, and request their embeddings."""
        check_members(request, (QUERY, TEXTS, *_RERANK_FLAGS, "truncation_direction"))
        hint = f'Send {{"{QUERY}": "...", "{TEXTS}": ["...", "..."]}}.'
        query, texts = request.members.get(QUERY), request.members.get(TEXTS)
        if not isinstance(query, str):
            raise invalid("must be a text", path=QUERY, hint=hint)
        if not isinstance(texts, list) or not 1 <= len(texts) < MAX_INPUTS:
            raise invalid(f"must be a list of 1 to {MAX_INPUTS - 1:,}", path=TEXTS, hint=hint)
        if request.members.get("truncation_direction") not in (None, "right", "Right"):
            hint = "Leave it out: the beginning of a text is read."
            raise invalid("is not supported", path="truncation_direction", hint=hint)
        for name, default in _RERANK_FLAGS.items():
            request.members[name] = _check_flag(request.members.get(name), name, default=default)
        request.parameters["return"] = "embedding"
        return [{"text": text} for text in (query, *texts)]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return the position and score of each text.

        The score is the cosine similarity with `raw_scores`, else (1 + similarity) / 2, which is from 0 to 1.
        """
        members = request.members
        if not members["truncate"]:
            for index, output in enumerate(outputs):
                _refuse_truncated_text(output, self.path_of(request, index, ""))
        query, *texts = (output["embedding"] for output in outputs)
        similarities = cosine_similarities(query, texts)
        scores = similarities if members["raw_scores"] else [to_relevance(value) for value in similarities]
        return [
            {
                "index": index,
                "score": scores[index],
                **({"text": members[TEXTS][index]} if members["return_text"] else {}),
            }
            for index in sorted(range(len(scores)), key=lambda index: -scores[index])
        ]

    def path_of(self, request: PipelineRequest, index: int, path: str) -> str:
        """Return the place of a text."""
        if path.partition(".")[0] == PARAMETERS:
            return path
        return f"{TEXTS}.{index - 1}" if index else QUERY


def _take_flag(request: PipelineRequest, name: str, *, default: bool) -> bool:
    return _check_flag(request.take(name), name, default=default)


def _check_flag(value: Any, name: str, *, default: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(
            f"must be true or false, not {shorten(value)}", path=name, hint=f"Leave it out for {str(default).lower()}."
        )
    return value


def _to_unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(number * number for number in vector))
    return [number / length for number in vector] if length else list(vector)


def _refuse_truncated(outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> None:
    for index, output in enumerate(outputs):
        _refuse_truncated_text(output, f"{INPUTS}.{index}" if request.is_list else INPUTS)


def _refuse_truncated_text(output: Mapping[str, Any], path: str) -> None:
    if truncated := output.get("truncated"):
        message = f"has {truncated['of']:,} tokens, and the model reads {truncated['kept']:,}"
        raise invalid(message, path=path, hint="Send a shorter text, or truncate: true.")
