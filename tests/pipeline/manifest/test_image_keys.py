"""Which images need no work: as a set of pairs would tell it, in a fraction of the memory."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.manifest.image_keys import FinishedImages, keys_of
from schemas.ids import image_id
from schemas.images import ImageRef

images = st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", "v1", "v2", "\udcff"]))


def ref(key: str, version: str) -> ImageRef:
    return ImageRef("s3", "photos", key, version, 1)


@given(st.lists(st.lists(images, max_size=6), max_size=4), st.lists(images, max_size=12))
def test_it_is_a_set_of_images_in_their_versions(
    parts: list[list[tuple[str, str]]], candidates: list[tuple[str, str]]
) -> None:
    finished = FinishedImages(
        (
            keys_of(pa.array([str(image_id(ref(*image))) for image in part], pa.string())),
            [version for _, version in part],
            [""] * len(part),
        )
        for part in parts
    )
    known = {image for part in parts for image in part}
    assert finished.has([ref(*image) for image in candidates]) == [
        image in known for image in candidates
    ]


@given(st.lists(st.uuids(), max_size=20))
def test_keys_are_the_bits_of_ids(ids: list[uuid.UUID]) -> None:
    keys = keys_of(pa.array([str(identity) for identity in ids], pa.string()))
    assert keys.shape == (len(ids), 2)
    assert [(int(high) << 64) + int(low) for high, low in keys] == [
        identity.int for identity in ids
    ]


def test_a_slice_of_a_column_has_its_own_ids() -> None:
    ids = [uuid.UUID(int=number) for number in range(1, 9)]
    column = pa.array(list(map(str, ids)))
    assert keys_of(column[3:6]).tolist() == [[0, 4], [0, 5], [0, 6]]
    assert keys_of(column[8:]).tolist() == []
    with pytest.raises(ValueError, match="expected ids of images"):
        keys_of(pa.array([str(ids[0]), None]))


def test_ids_that_are_alike_in_half_are_told_apart() -> None:
    wanted = ref("a", "v")
    key = keys_of(pa.array([str(image_id(wanted))]))
    others = np.repeat(key, 5, axis=0)
    others[:, 1] += np.arange(1, 6, dtype=np.uint64)
    assert FinishedImages([(others, ["v"] * 5, [""] * 5)]).has([wanted, ref("b", "v")]) == [
        False,
        False,
    ]
    together = np.concatenate([others[:3], key, others[3:]])
    assert FinishedImages([(together, ["v"] * 6, [""] * 6)]).has([wanted, ref("b", "v")]) == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    "text",
    ["", "6c1b5b0e", "6c1b5b0e-7f0e-5b52-9d8a-0f6a3b0c2e1", "6C1B5B0E-7F0E-5B52-9D8A-0F6A3B0C2E11",
     "6c1b5b0e-7f0e-5b52-9d8a-0f6a3b0c2e111", "6c1b5b0e-7f0e-5b52-9d8a-0f6a3b0c2e1é"],
)  # fmt: skip
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected ids of images"):
        keys_of(pa.array([text]))
