"""Audio and images by the newest client of the OpenAI protocol, unchanged."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import openai
import pytest
import soundfile
from PIL import Image

from ml.audio.waveform import Audio
from ml.data.files import audio
from tests.app.openai.conftest import native
from tests.support.api_process import ApiProcess
from tests.support.ml import samples

pytestmark = [
    pytest.mark.process,
    pytest.mark.client(
        "openai (Python, audio and images)", "openai", "audio.transcriptions, audio.speech, images.generate"
    ),
]

CLIP: Final = samples.VALUES["audio"](3)[2]
TEXT: Final = "quiet film"
SIZE: Final = f"{samples.SIDE}x{samples.SIDE}"


def decode(data: bytes) -> Audio:
    values, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32")
    return Audio(values, rate_hz)


def speak(api: ApiProcess, model: str, **fields: Any) -> bytes:
    (output,) = native(api, model, {"inputs": [{"text": TEXT, **fields}]})
    return base64.b64decode(output["audio"])


def test_an_audio_file_is_transcribed_as_predict_transcribes_it(client: openai.OpenAI, api: ApiProcess) -> None:
    (expected,) = native(api, "speech", {"inputs": [{"audio": base64.b64encode(CLIP).decode()}]})
    answer = client.audio.transcriptions.create(model="speech", file=("clip.wav", CLIP))
    assert answer.text == expected["text"]
    assert answer.usage is not None
    assert (answer.usage.type, answer.usage.seconds) == ("duration", 0.25)  # type: ignore[union-attr]  # a duration
    as_text = client.audio.transcriptions.create(
        model="speech@1", file=io.BytesIO(CLIP), response_format="text", language="en", temperature=0
    )
    assert as_text == expected["text"]


def test_a_transcription_comes_with_its_duration_or_by_events(client: openai.OpenAI) -> None:
    text = client.audio.transcriptions.create(model="speech", file=("clip.wav", CLIP)).text
    for language, expected in (("en", "en"), (openai.omit, "und")):
        verbose = client.audio.transcriptions.create(
            model="speech", file=("clip.wav", CLIP), response_format="verbose_json", language=language
        )
        assert (verbose.text, verbose.duration, verbose.language) == (text, 0.25, expected)
        assert verbose.segments is None, "a model knows no times"
    events = list(client.audio.transcriptions.create(model="speech", file=("clip.wav", CLIP), stream=True))
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert (events[0].delta, events[1].text) == (text, text)  # type: ignore[union-attr]  # by the types of both


def test_a_text_is_read_aloud_as_predict_reads_it(client: openai.OpenAI, api: ApiProcess) -> None:
    expected = speak(api, "reader")
    answer = client.audio.speech.create(model="reader", voice="alloy", input=TEXT, response_format="wav")
    assert answer.content == expected
    assert answer.response.headers["content-type"] == "audio/wav"
    faster = client.audio.speech.create(model="reader", voice="alloy", input=TEXT, response_format="wav", speed=1.5)
    assert faster.content == speak(api, "reader", speed=1.5)


@pytest.mark.parametrize(
    ("response_format", "media_type", "rate_hz"),
    [("mp3", "audio/mpeg", 8_000), ("opus", "audio/ogg", 8_000), ("flac", "audio/flac", 4_000)],
)
def test_speech_comes_in_the_format_that_the_request_names(
    client: openai.OpenAI, api: ApiProcess, response_format: Any, media_type: str, rate_hz: int
) -> None:
    original = audio.decode(speak(api, "reader"))
    answer = client.audio.speech.create(model="reader", voice="alloy", input=TEXT, response_format=response_format)
    assert answer.response.headers["content-type"] == media_type
    clip = decode(answer.content)
    # The samples have 4,000 Hz, which MP3 and Opus do not have. Both may add a frame of 0.1 s.
    assert (original.rate_hz, clip.rate_hz) == (4_000, rate_hz)
    assert clip.seconds == pytest.approx(original.seconds, abs=0.1)
    if response_format == "flac":
        np.testing.assert_array_equal(clip.samples, original.samples)
    unnamed = client.audio.speech.create(model="reader", voice="alloy", input=TEXT)
    assert (unnamed.content == answer.content) is (response_format == "mp3")


def test_pcm_has_24_000_samples_a_second_and_no_header(client: openai.OpenAI, api: ApiProcess) -> None:
    original = audio.decode(speak(api, "reader"))
    with client.audio.speech.with_streaming_response.create(
        model="reader", voice="alloy", input=TEXT, response_format="pcm"
    ) as answer:
        values = np.frombuffer(b"".join(answer.iter_bytes()), "<i2") / 32_768
    assert len(values) == 6 * len(original.samples)
    # Upsampling by a whole factor keeps the old samples, as far as the filter is flat.
    assert np.corrcoef(values[::6], original.samples)[0, 1] > 0.95


def test_a_model_of_several_voices_reads_in_the_one_that_the_request_names(
    client: openai.OpenAI, api: ApiProcess
) -> None:
    voice = samples.VALUES["text"](3)[2]
    for sent in (voice, {"id": voice}):
        answer = client.audio.speech.create(
            model="voices",
            voice=sent,  # type: ignore[arg-type]  # a voice of this model
            input=TEXT,
            response_format="wav",
        )
        assert answer.content == speak(api, "voices", voice=voice)


def test_images_are_those_of_predict(client: openai.OpenAI, api: ApiProcess) -> None:
    answer = client.images.generate(model="drawings", prompt="2", n=2, extra_body={"seed": 7})
    expected = native(api, "drawings", {"inputs": [{"label": "2", "seed": 7}, {"label": "2", "seed": 8}]})
    assert answer.data is not None
    assert [image.b64_json for image in answer.data] == [output["image"] for output in expected]
    assert [image.revised_prompt for image in answer.data] == ["2", "2"]
    assert (answer.size, answer.output_format) == (SIZE, "png")
    with Image.open(io.BytesIO(base64.b64decode(str(answer.data[0].b64_json)))) as image:
        assert image.size == (samples.SIDE, samples.SIDE)


def test_an_image_without_a_prompt_is_of_some_class(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="drawings", prompt="", size=SIZE, response_format="b64_json", quality="auto")
    assert answer.data is not None
    assert answer.data[0].revised_prompt in samples.CLASSES
    assert answer.created > 1_700_000_000


REFUSED: Final[dict[str, tuple[Callable[[openai.OpenAI], object], str | None, str]]] = {
    "times of a text": (
        lambda c: c.audio.transcriptions.create(model="speech", file=("a.wav", CLIP), response_format="srt"),
        "response_format",
        "srt is not supported. A model knows the text, but no times",
    ),
    "words that may be spoken": (
        lambda c: c.audio.transcriptions.create(model="speech", file=("a.wav", CLIP), prompt="quiet"),
        "prompt",
        'only "" is supported here',
    ),
    "times of words": (
        lambda c: c.audio.transcriptions.create(model="speech", file=("a.wav", CLIP), timestamp_granularities=["word"]),
        "timestamp_granularities",
        "no times",
    ),
    "a temperature": (
        lambda c: c.audio.transcriptions.create(model="speech", file=("a.wav", CLIP), temperature=0.5),
        "temperature",
        "most probable",
    ),
    "a file that is no audio": (
        lambda c: c.audio.transcriptions.create(model="speech", file=("a.wav", b"nothing")),
        "file",
        "WAV, FLAC, OGG",
    ),
    "an empty file": (
        lambda c: c.audio.transcriptions.create(model="speech", file=("a.wav", b"")),
        "file",
        "WAV, FLAC, OGG",
    ),
    "a model that transcribes nothing": (
        lambda c: c.audio.transcriptions.create(model="reviews", file=("a.wav", CLIP)),
        "model",
        "speech_recognition",
    ),
    "a misspelled field of a form": (
        lambda c: c.audio.transcriptions.create(model="speech", file=("a.wav", CLIP), extra_body={"langauge": "en"}),
        "langauge",
        "language",
    ),
    "a format that is not written": (
        lambda c: c.audio.speech.create(model="reader", voice="alloy", input=TEXT, response_format="aac"),
        "response_format",
        "aac is not supported. Use mp3, opus, flac, wav or pcm",
    ),
    "a voice that the model lacks": (
        lambda c: c.audio.speech.create(model="voices", voice="alloy", input=TEXT),
        "voice",
        "quiet",
    ),
    "a speed out of range": (
        lambda c: c.audio.speech.create(model="reader", voice="alloy", input=TEXT, speed=4),
        "speed",
        "2",
    ),
    "characters outside the alphabet": (
        lambda c: c.audio.speech.create(model="reader", voice="alloy", input="世界"),
        "input",
        "alphabet",
    ),
    "an empty text": (lambda c: c.audio.speech.create(model="reader", voice="alloy", input=""), "input", "at least 1"),
    "instructions": (
        lambda c: c.audio.speech.create(model="reader", voice="alloy", input=TEXT, instructions="Whisper."),
        "instructions",
        "text alone",
    ),
    "a model that reads nothing aloud": (
        lambda c: c.audio.speech.create(model="speech", voice="alloy", input=TEXT),
        "model",
        "speech_synthesis",
    ),
    "an address of an image": (
        lambda c: c.images.generate(model="drawings", prompt="", response_format="url"),
        "response_format",
        "in the answer",
    ),
    "another size": (
        lambda c: c.images.generate(model="drawings", prompt="", size="1024x1024"),
        "size",
        f"images of {SIZE}, not 1024x1024",
    ),
    "an unknown class": (
        lambda c: c.images.generate(model="drawings", prompt="a cat"),
        "prompt",
        "0, 1, 2",
    ),
    "too many images": (lambda c: c.images.generate(model="drawings", prompt="", n=11), "n", "10"),
    "a model that generates no images": (
        lambda c: c.images.generate(model="shades", prompt=""),
        "model",
        "image_generation",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_without_an_answer_is_refused_with_field_and_hint(client: openai.OpenAI, name: str) -> None:
    request, param, words = REFUSED[name]
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        request(client)
    assert caught.value.param == param
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content_type", "body", "status", "words"),
    [
        ("application/json", b"{}", 415, "multipart/form-data"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 422, "model: Field required"),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense", 422, "model: Field required"),
        ("multipart/form-data", b"x", 400, "boundary"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nspeech\r\n--b--\r\n',
            422,
            "file: the form has no audio file",
        ),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(
    api: ApiProcess, content_type: str, body: bytes, status: int, words: str
) -> None:
    headers = {"Content-Type": content_type}
    answered, _, answer = api.request("POST", "/v1/audio/transcriptions", headers=headers, body=body)
    assert (answered, words in answer.decode()) == (status, True), answer
