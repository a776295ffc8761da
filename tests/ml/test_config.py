"""Base class of requests and specifications."""

from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from ml.config import Config


class Options(Config):
    count: int = Field(1, ge=1)
    rate: Annotated[float | None, Field(gt=0)] = None
    fraction: float | str = 0.5
    is_on: bool = False
    sizes: bool | list[float] = False
    any_value: Any = None


@pytest.mark.parametrize("field", ["count", "rate", "fraction"])
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers(field: str, value: bool) -> None:
    with pytest.raises(ValidationError, match="should be a number, not true or false") as caught:
        Options.model_validate({field: value})
    assert caught.value.errors()[0]["loc"] == (field,)


def test_numbers_and_booleans_are_accepted_where_they_are_declared() -> None:
    options = Options.model_validate({"count": "3", "rate": 1, "is_on": True, "sizes": True, "any_value": True})
    assert (options.count, options.rate, options.is_on, options.sizes, options.any_value) == (3, 1.0, True, True, True)


def test_an_unknown_field_is_rejected() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Options.model_validate({"cuont": 1})
