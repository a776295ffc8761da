"""Pipelines by task, and by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.huggingface.pipelines import classification, detection, embedding, generation, speech, tables, zero_shot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.huggingface.pipelines.base import Pipeline

#: The pipeline of each task; base models have the task None.
PIPELINES: Final[Mapping[str | None, Pipeline]] = {
    None: embedding.FeatureExtraction(),
    "audio_classification": classification.FileClassificationPipeline("audio"),
    "image_classification": classification.FileClassificationPipeline("image"),
    "image_generation": generation.TextToImagePipeline(),
    "image_text_matching": zero_shot.ZeroShot(),
    "object_detection": detection.ObjectDetectionPipeline(),
    "speech_recognition": speech.SpeechRecognitionPipeline(),
    "speech_synthesis": speech.TextToSpeechPipeline(),
    "tabular_classification": tables.TableColumn("label"),
    "tabular_regression": tables.TableColumn("value"),
    "text_classification": classification.TextClassificationPipeline(),
    "text_generation": generation.TextGenerationPipeline(),
    "translation": generation.TranslationPipeline(),
}
#: Pipelines that a path may name for a model of any task that can answer them.
NAMED_PIPELINES: Final[Mapping[str, Pipeline]] = {
    "feature-extraction": embedding.FeatureExtraction(),
    "sentence-similarity": embedding.SentenceSimilarity(),
}
