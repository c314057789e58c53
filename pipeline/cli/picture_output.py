"""Says in words what of a picture was searched with, and what the picture is a copy of."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.api import RegionAnswer, SearchAnswer
from schemas.search import Region, RegionChoice, SearchPage

_AS_GIVEN = (RegionChoice.BOX, RegionChoice.MASK)


def describe_pictures(page: SearchPage | SearchAnswer) -> Iterator[str]:
    """A line for each copy, and for each region that is not simply what was asked for."""
    for copy in page.copies:
        how = "is" if copy.exact else "looks like"
        yield f"the image {how} {copy.uri}, which is indexed (object {copy.object_id})"
    for region in page.regions:
        if region is not None and region.choice not in _AS_GIVEN:
            yield _describe_region(region)


def _describe_region(region: Region | RegionAnswer) -> str:
    if region.choice is RegionChoice.FALLBACK:
        return "no object fits the box: searched with the box as it is"
    where = ",".join(map(str, region.bbox))
    if region.choice is RegionChoice.INDEXED:
        return f"searched with the indexed object at {where} (object {region.object_id})"
    return f"searched with the object found at {where}"
