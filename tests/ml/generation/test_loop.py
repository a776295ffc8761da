from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from ml.config import Choice
from ml.generation.loop import GeneratedSequence, GenerationLoop, GenerationParams
from ml.generation.sampling import Sampling
from ml.generation.state import state_names
from ml.learning.export.torch_runner import make_runner
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.network import build
from ml.signals import Feature

SHAPE = {"vocabulary": 40, "length": 12}
PROMPTS = [[1, 5, 9], [1, 30, 31, 32, 33, 34, 35], [1], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]

causal = pytest.mark.parametrize(
    "name", [name for name, architecture in ARCHITECTURES.items() if Feature.CAUSAL in architecture.provides]
)


def decode(tokens: Sequence[int]) -> str:
    return "".join(chr(ord("A") + token) for token in tokens)


def make_sequence(
    prompt: Sequence[int], *, end: int | None = None, seed: int = 0, stop: tuple[str, ...] = ()
) -> GeneratedSequence:
    params = GenerationParams(max_new_tokens=20, sampling=Sampling(), seed=seed, stop=stop)
    return GeneratedSequence(prompt, params, decode=decode, end=end)


def make_loop(name: str = "gpt", *, cached: bool = True) -> GenerationLoop:
    torch.manual_seed(0)
    architecture = ARCHITECTURES[name]
    config = architecture.adapt_config(architecture.tiny(), frozenset({Feature.CAUSAL})).model_dump()
    choice = Choice(name=name, config=config)
    network = build({"text": choice}, shapes={"text": SHAPE}, head=Choice(name="next_token")).eval()
    for parameter in network.parameters():
        parameter.data *= 3  # so that what is read decides what is written
    shapes = network.widths["text"].state if cached else ()
    inputs = ("text", "text_mask", "text_state_mask", *state_names("text", len(shapes)))
    run = make_runner(network, {"step": inputs}, device=torch.device("cpu"))
    return GenerationLoop(lambda batch: run("step", batch), slot="text", context=SHAPE["length"], state_shapes=shapes)


def generate(loop: GenerationLoop, sequences: Sequence[GeneratedSequence]) -> list[list[int]]:
    loop.join(sequences)
    while loop.is_busy:
        loop.step()
    return [sequence.new_tokens for sequence in sequences]


def make_sequences(**how: Any) -> list[GeneratedSequence]:
    return [make_sequence(prompt, seed=row, **how) for row, prompt in enumerate(PROMPTS)]


@causal
def test_with_and_without_memory_the_same_is_written_beyond_the_longest_context_too(name: str) -> None:
    assert generate(make_loop(name), make_sequences()) == generate(make_loop(name, cached=False), make_sequences())


def test_a_graph_of_an_earlier_package_writes_the_same() -> None:
    loop = make_loop()
    inner, parts = loop._read_batch, len(loop._shapes)

    def read(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Read and return one state [R, P, K], as graphs did."""
        memory = batch.pop("text_state")
        past = np.split(memory, 2 * parts, axis=2)  # of two heads
        pairs = zip(past[::2], past[1::2], strict=True)
        batch |= {name: np.stack(pair, axis=1) for name, pair in zip(state_names("text", parts), pairs, strict=True)}
        outputs = inner(batch)
        new = [outputs.pop(name) for name in state_names("text", parts, kind="new_state")]
        new_memory = np.concatenate([part[:, head] for part in new for head in range(2)], axis=2)
        mask = np.concatenate([batch["text_state_mask"], batch["text_mask"]], axis=1)
        memory = np.concatenate([memory, new_memory], axis=1)
        return {**outputs, "text_next_state": memory, "text_next_state_mask": mask}

    width = sum(heads * width for heads, width in loop._shapes)
    earlier = GenerationLoop(read, slot="text", context=SHAPE["length"], state_shapes=[[width]])
    assert generate(earlier, make_sequences()) == generate(loop, make_sequences())


def test_a_sequence_does_not_depend_on_those_beside_it() -> None:
    together = generate(make_loop(), make_sequences())
    assert together == [generate(make_loop(), [sequence])[0] for sequence in make_sequences()]


def test_some_may_join_and_leave_between_steps() -> None:
    expected = generate(make_loop(), make_sequences())
    loop, (first, second, third, fourth) = make_loop(), make_sequences()
    loop.join([first])
    for _ in range(3):
        loop.step()
    loop.join([second, fourth])
    loop.step()
    loop.leave(second)
    loop.join([third])
    while loop.is_busy:
        loop.step()
    assert [first.new_tokens, third.new_tokens, fourth.new_tokens] == [expected[0], expected[2], expected[3]]
    assert second.finish_reason is None


def test_the_pieces_are_the_text() -> None:
    loop, sequences = make_loop(), make_sequences()
    loop.join(sequences)
    texts = {id(sequence): "" for sequence in sequences}
    while loop.is_busy:
        for sequence, piece in loop.step():
            texts[id(sequence)] += piece
    assert (
        [texts[id(sequence)] for sequence in sequences]
        == [sequence.text for sequence in sequences]
        == [decode(sequence.new_tokens) for sequence in sequences]
    )


def test_a_sequence_ends_where_the_model_ends_it() -> None:
    expected = generate(make_loop(), [make_sequence(PROMPTS[0])])[0]
    ended = make_sequence(PROMPTS[0], end=expected[4])
    generate(make_loop(), [ended])
    assert ended.new_tokens == expected[: expected.index(expected[4])]
    assert ended.finish_reason == "stop"


def test_a_sequence_ends_at_a_stop_string_and_otherwise_by_its_length() -> None:
    free = make_sequence(PROMPTS[0])
    generate(make_loop(), [free])
    assert free.finish_reason == "length"
    assert len(free.new_tokens) == 20
    stopped = make_sequence(PROMPTS[0], stop=(free.text[3:5],))
    generate(make_loop(), [stopped])
    assert stopped.finish_reason == "stop"
    assert stopped.text == free.text[: free.text.index(free.text[3:5])]


def test_a_graph_that_reads_one_token_at_a_time_gets_no_more() -> None:
    lengths: list[int] = []
    loop = make_loop()
    inner = loop._read_batch

    def count_calls(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        lengths.append(batch["text"].shape[1])
        return inner(batch)

    loop._read_batch = count_calls
    generate(loop, [make_sequence([1, 2], seed=3)])
    assert lengths[:10] == [2] + [1] * 9
