"""What tests assert of a refusal: the code of its cause, not its words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from smoothcert import errors
from smoothcert.errors import SmoothcertError

CLASSES = {
    "DATA": errors.DataError,
    "MODEL": errors.ModelError,
    "SPEC": errors.SpecError,
    "RECIPE": errors.RecipeError,
    "EXTRA": errors.MissingExtraError,
}
"""The class of an error, by the letters of its code; other letters stand for several classes."""


@contextmanager
def refuses(code: str, match: str = "") -> Iterator[pytest.ExceptionInfo[SmoothcertError]]:
    """Expect an error of ours with a code; `match` is for facts in its message, such as numbers and names."""
    with pytest.raises(CLASSES.get(code.split("-")[1], SmoothcertError)) as raised:
        yield raised
    assert raised.value.code == code, f"expected {code}, got {raised.value.code}: {raised.value}"
    assert re.search(match, str(raised.value)), str(raised.value)
