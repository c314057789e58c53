"""Compares what is installed with the versions that objseek is made for."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pipeline.cli.checkup.check import Check, failed, passed, warned
from pipeline.messages import quantify

EXTRAS = ("video", "heif", "lance", "cluster", "traces", "map", "demo")
"""The extras that a user may want; others are for those who work on objseek."""

FindVersion = Callable[[str], str | None]
"""The installed version of a package by its name, None where it is not installed."""
_SHOWN = ("torch", "ray", "qdrant-client", "qdrant-edge-py")


def find_version(name: str) -> str | None:
    """See `FindVersion`."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_python(wanted: str | None = None, version: str = platform.python_version()) -> Check:
    """Python itself. `wanted`: as packages say it (`>=3.11`), None: as objseek does."""
    wanted = _read_field("Requires-Python") if wanted is None else wanted
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return passed("python", version)
    advice = f"install objseek into a Python that is {wanted}"
    return failed("python", f"{version}, expected {wanted}", advice)


def check_objseek() -> Check:
    """objseek itself."""
    version = find_version("objseek")
    if version is not None:
        return passed("objseek", version)
    advice = "pip install . in its folder: versions of other packages cannot be checked"
    return warned("objseek", "not installed, run from its folder", advice)


def check_packages(
    requirements: Sequence[str] | None = None, find: FindVersion = find_version
) -> Iterator[Check]:
    """What objseek cannot do without: those that users ask about, then all others together.

    `requirements` are as packages say them, None: those of objseek.
    """
    wanted = [each for each in _parse(requirements) if each.marker is None or _applies(each)]
    fine = []
    for requirement in sorted(wanted, key=lambda each: (each.name not in _SHOWN, each.name)):
        version = find(requirement.name)
        fits = version is not None and _fits(requirement, version)
        if fits and requirement.name not in _SHOWN:
            fine.append(requirement.name)
        elif fits:
            yield passed(requirement.name, str(version))
        else:
            found = version or "not installed"
            expected = f"expected {requirement.specifier}" if version else "needed"
            advice = f"pip install '{requirement.name}{requirement.specifier}'"
            yield failed(requirement.name, f"{found}, {expected}", advice)
    if fine:
        yield passed("packages", f"{quantify(len(fine), 'other')} as wanted")


def check_extras(
    requirements: Sequence[str] | None = None, find: FindVersion = find_version
) -> Iterator[Check]:
    """What objseek can do without: which extras are there, and which have another version."""
    wanted = _parse(requirements)
    there, missing = [], []
    for extra in EXTRAS:
        of_extra = [each for each in wanted if each.marker is not None and _applies(each, extra)]
        versions = {each: find(each.name) for each in of_extra}
        if not of_extra or any(version is None for version in versions.values()):
            missing.append(extra)
            continue
        there.append(extra)
        for each, version in versions.items():
            if version is not None and not _fits(each, version):
                found = f"{version}, the extra {extra} expects {each.specifier}"
                yield warned(each.name, found, f"pip install 'objseek[{extra}]'")
    found = f"installed: {', '.join(there) or 'none'}"
    if missing:
        found += f"; not installed: {', '.join(missing)} (pip install 'objseek[{missing[0]}]')"
    yield passed("extras", found)


def _parse(requirements: Sequence[str] | None) -> list[Requirement]:
    if requirements is None:
        try:
            requirements = metadata.requires("objseek") or ()
        except metadata.PackageNotFoundError:
            requirements = ()
    parsed = map(Requirement, requirements)
    return [each for each in parsed if canonicalize_name(each.name) != "objseek"]


def _applies(requirement: Requirement, extra: str = "") -> bool:
    """Whether it is for this machine, and of this extra; empty: without any."""
    return requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _fits(requirement: Requirement, version: str) -> bool:
    return requirement.specifier.contains(version, prereleases=True)


def _read_field(name: str) -> str:
    try:
        return metadata.metadata("objseek")[name] or ""
    except metadata.PackageNotFoundError:
        return ""
