"""What reaches a terminal."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli.console import user_errors
from pipeline.messages import printable
from schemas.errors import UsageError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 木 (s3://b/k)", "plain ü 木 (s3://b/k)"),
        ("a\x1b[31mred\x07", "a\\x1b[31mred\\x07"),
        ("two\nlines", "two\\nlines"),
    ],
)
def test_nothing_steers_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
    app = typer.Typer()

    @app.command()
    @user_errors
    def fail() -> None:
        raise UsageError(text)

    assert CliRunner().invoke(app).stderr == f"Error: {shown}\n"
