"""`objseek doctor`, versions: what is missing or has another version than objseek is made for."""

from __future__ import annotations

from importlib import metadata

import pytest

from pipeline.cli.checkup.check import Outcome, failed, passed, warned
from pipeline.cli.checkup.versions import (
    EXTRAS,
    check_extras,
    check_objseek,
    check_packages,
    check_python,
)

NEEDED = ("torch>=2.6", "ray>=2.60", "numpy>=1.26", "objseek[demo]>=0.1")
OPTIONAL = ('av>=18.1; extra == "video"', 'pillow-heif>=1; extra == "heif"')


def test_another_python_is_wrong() -> None:
    assert check_python(">=3.11", "3.12.1") == passed("python", "3.12.1")
    assert check_python(">=3.11", "3.9.2") == failed(
        "python", "3.9.2, expected >=3.11", "install objseek into a Python that is >=3.11"
    )


def test_objseek_that_is_not_installed_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_objseek() == passed("objseek", metadata.version("objseek"))
    monkeypatch.setattr("pipeline.cli.checkup.versions.find_version", lambda name: None)
    assert check_objseek().outcome is Outcome.WARNING


def test_packages_that_are_missing_or_old_are_wrong_with_what_to_install() -> None:
    versions = {"torch": "2.5.1+cpu", "numpy": "2.1.0"}
    assert list(check_packages(NEEDED, versions.get)) == [
        failed("ray", "not installed, needed", "pip install 'ray>=2.60'"),
        failed("torch", "2.5.1+cpu, expected >=2.6", "pip install 'torch>=2.6'"),
        passed("packages", "1 other as wanted"),
    ]


def test_local_builds_and_pre_releases_are_in_range() -> None:
    versions = {"torch": "2.7.0+cu128", "ray": "3.0.0.dev0", "numpy": "2"}
    found = list(check_packages(NEEDED, versions.get))
    assert [check.outcome for check in found] == [Outcome.OK] * 3


def test_extras_may_be_missing_and_old_ones_are_a_warning() -> None:
    (there,) = check_extras(OPTIONAL, {"av": "18.2"}.get)
    assert there.outcome is Outcome.OK
    assert there.found.startswith("installed: video; not installed: heif, ")
    assert there.found.endswith("(pip install 'objseek[heif]')")
    old, _ = check_extras(OPTIONAL, {"av": "17"}.get)
    assert old == warned("av", "17, the extra video expects >=18.1", "pip install 'objseek[video]'")


def test_the_extras_are_those_of_the_package() -> None:
    declared = set(metadata.metadata("objseek").get_all("Provides-Extra") or ())
    assert set(EXTRAS) == declared - {"dev", "docs", "train"}


def test_what_tests_run_with_is_as_wanted() -> None:
    assert {check.outcome for check in check_packages()} == {Outcome.OK}
