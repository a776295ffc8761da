import numpy as np
import pytest

from ml.generation.sampling import Sampling, filter_tokens, sample

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3]))


def sample_one(sampling: Sampling, random_state: np.random.Generator) -> int:
    return sample(LOGITS[None], [sampling], [random_state])[0]


def test_without_temperature_the_most_probable_is_taken() -> None:
    rng = np.random.default_rng(0)
    assert {sample_one(Sampling(temperature=0), rng) for _ in range(20)} == {1}


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    rng = np.random.default_rng(0)
    frequencies = np.bincount([sample_one(Sampling(), rng) for _ in range(4000)], minlength=4) / 4000
    # Four standard errors of a fraction near one half.
    np.testing.assert_allclose(frequencies, [0.1, 0.4, 0.2, 0.3], atol=4 * np.sqrt(0.25 / 4000))


@pytest.mark.parametrize(
    ("sampling", "tokens", "probabilities"),
    [
        (Sampling(top_k=2), [1, 3], [4 / 7, 3 / 7]),
        (Sampling(top_k=9), [0, 1, 2, 3], [0.1, 0.4, 0.2, 0.3]),
        (Sampling(top_p=0.6), [1, 3], [4 / 7, 3 / 7]),
        (Sampling(top_p=0.01), [1], [1.0]),
        (Sampling(top_k=3, top_p=0.5), [1, 3], [4 / 7, 3 / 7]),
        (Sampling(temperature=0.5), [0, 1, 2, 3], np.array([1, 16, 4, 9]) / 30),
    ],
)
def test_only_allowed_tokens_are_drawn(sampling: Sampling, tokens: list[int], probabilities: list[float]) -> None:
    allowed, allowed_probabilities = filter_tokens(LOGITS, sampling)
    assert allowed.tolist() == tokens
    np.testing.assert_allclose(allowed_probabilities, probabilities)


def test_one_seed_gives_one_sequence() -> None:
    first, second = (
        [sample_one(Sampling(), rng) for _ in range(50)] for rng in (np.random.default_rng(7), np.random.default_rng(7))
    )
    assert first == second


@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-12])
@pytest.mark.parametrize("limits", [{}, {"top_k": 2}, {"top_p": 0.5}])
def test_a_temperature_next_to_zero_takes_the_most_probable_token(temperature: float, limits: dict[str, float]) -> None:
    """A logit over it is beyond what a float holds."""
    sampling = Sampling(temperature=temperature, **limits)  # type: ignore[arg-type]  # each is what its name takes
    for best in range(3):
        logits = np.array([-1.0, 2.0, 3.0], dtype=np.float32)[np.roll(np.arange(3), best)]
        assert sample(logits[None], [sampling], [np.random.default_rng(0)]) == [int(logits.argmax())]


def test_rows_have_parameters_of_their_own() -> None:
    samplings = [Sampling(), Sampling(temperature=0), Sampling(temperature=0.5), Sampling(top_k=2), Sampling(top_p=0.6)]
    together = [np.random.default_rng(row) for row in range(len(samplings))]
    alone = [np.random.default_rng(row) for row in range(len(samplings))]
    logits = np.stack([np.roll(LOGITS, row) for row in range(len(samplings))])
    for _ in range(20):
        expected = [sample(logits[row : row + 1], [samplings[row]], [alone[row]])[0] for row in range(len(samplings))]
        assert sample(logits, samplings, together) == expected
