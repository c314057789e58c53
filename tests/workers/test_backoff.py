"""Another attempt: for which errors, and until when."""

from __future__ import annotations

import logging

import pytest

from schemas.errors import BadImageError, IndexUnavailableError, ObjseekError, StoreUnavailableError
from workers import backoff
from workers.backoff import Backoff

QUICK = Backoff(30, first_s=0.001, longest_s=0.002)


class Failing:
    """Raises these in turn, then gives the number of attempts."""

    def __init__(self, *errors: ObjseekError) -> None:
        self._errors = list(errors)
        self.attempts = 0

    def __call__(self) -> int:
        self.attempts += 1
        if self._errors:
            raise self._errors.pop(0)
        return self.attempts


def test_what_may_pass_is_tried_until_it_has() -> None:
    action = Failing(*[StoreUnavailableError("away")] * 9)
    assert QUICK.retry(action, "a read") == 10


def test_what_does_not_pass_is_raised_at_once() -> None:
    action = Failing(StoreUnavailableError("away"), BadImageError("broken"))
    with pytest.raises(BadImageError, match="broken"):
        QUICK.retry(action, "a read")
    assert action.attempts == 2


def test_a_budget_ends() -> None:
    action = Failing(*[StoreUnavailableError("away")] * 1000)
    with pytest.raises(StoreUnavailableError):
        Backoff(0.05, first_s=0.02).retry(action, "a read")
    assert 1 < action.attempts < 1000
    action = Failing(StoreUnavailableError("away"))
    with pytest.raises(StoreUnavailableError):
        Backoff(0).retry(action, "a read")
    assert action.attempts == 1


def test_only_some_errors() -> None:
    action = Failing(StoreUnavailableError("away"), IndexUnavailableError("away"))
    with pytest.raises(IndexUnavailableError):
        Backoff(30, 0.001, only=StoreUnavailableError).retry(action, "a read")
    assert action.attempts == 2


def test_only_what_lasts_is_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(backoff, "_WARN_AFTER_S", 0.05)
    action = Failing(*[StoreUnavailableError("away")] * 200)
    assert QUICK.retry(action, "a read") == 201
    levels = [record.levelno for record in caplog.records]
    assert levels == sorted(levels)
    assert set(levels) == {logging.INFO, logging.WARNING}
