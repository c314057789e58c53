"""What is told of another package's errors."""

from __future__ import annotations

import pytest

from schemas.errors import first_line


@pytest.mark.parametrize(
    ("said", "told"),
    [("no\nfile", "no"), ("\n  no file \n", "no file"), ("", "ValueError"), (" \n", "ValueError")],
)
def test_the_first_line_that_says_anything(said: str, told: str) -> None:
    assert first_line(ValueError(said)) == told
