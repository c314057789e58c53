"""Masks against pycocotools, identities for ever, payloads through JSON, vectors checked."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from schemas.checksums import checksum, checksum_of, digest
from schemas.errors import InvalidVectorError
from schemas.ids import (
    IMAGE_ORDINAL,
    NAMESPACE,
    ImageRevision,
    fingerprint,
    image_id,
    image_ids_bytes,
    object_id,
)
from schemas.images import ImageRef
from schemas.masks import BoolMask, CocoRle, ObjectMask
from schemas.payload import PointPayload, payload_of
from schemas.records import VECTOR_NAME, EmbeddedImage, ImageRecord, ObjectRecord, check_vectors

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
noise = sizes.flatmap(lambda size: arrays.arrays(np.bool_, size))


@st.composite
def blocks(draw: st.DrawFn) -> BoolMask:
    """Large masks with long runs: their counts need several characters."""
    height, width = draw(st.integers(1, 700)), draw(st.integers(1, 300))
    mask = np.full((height, width), draw(st.booleans()))
    for _ in range(draw(st.integers(0, 4))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[y : y + draw(st.integers(1, 400)), x : x + draw(st.integers(1, 200))] ^= True
    return mask


masks = st.one_of(
    noise,
    blocks(),
    sizes.map(lambda size: np.zeros(size, bool)),
    sizes.map(lambda size: np.ones(size, bool)),
    st.booleans().map(lambda value: np.full((1, 1), value)),
)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(masks)
def test_rle_is_that_of_pycocotools(mask: BoolMask) -> None:
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = CocoRle.from_mask(mask)
    assert ours.counts.encode() == theirs["counts"]
    assert list(ours.size_hw) == theirs["size"]
    assert ours.area_px == coco.area(theirs) == mask.sum()
    assert sum(ours.runs()) == mask.size
    decoded = ours.decode()
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, mask)
    np.testing.assert_array_equal(decoded, coco.decode(theirs).astype(bool))


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_rle_of_one_pixel(height: int, width: int, data: st.DataObject) -> None:
    mask = np.zeros((height, width), bool)
    mask[data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = True
    rle = CocoRle.from_mask(mask)
    assert rle.area_px == 1
    np.testing.assert_array_equal(rle.decode(), mask)


@given(masks, st.data())
def test_columns_of_an_rle_are_those_of_the_mask(mask: BoolMask, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, mask.shape[1]))
    end = data.draw(st.integers(first, mask.shape[1]))
    columns = CocoRle.from_mask(mask).decode_columns(first, end)
    np.testing.assert_array_equal(columns, mask[:, first:end])


def test_rle_golden() -> None:
    mask = np.zeros((3, 4), bool)
    mask[1:3, 1:3] = True
    assert CocoRle.from_mask(mask) == CocoRle((3, 4), "42102")
    assert CocoRle((3, 4), "42102").runs().tolist() == [4, 2, 1, 2, 3]


@given(masks, st.data())
def test_a_cut_rle_is_refused(mask: BoolMask, data: st.DataObject) -> None:
    rle = CocoRle.from_mask(mask)
    cut = rle.counts[: data.draw(st.integers(0, len(rle.counts) - 1))]
    with pytest.raises(ValueError, match="RLE"):
        CocoRle(rle.size_hw, cut).decode()


@given(sizes, st.text(max_size=12))
def test_any_string_decodes_to_its_size_or_is_refused(size: tuple[int, int], text: str) -> None:
    rle = CocoRle(size, text)
    try:
        mask = rle.decode()
    except ValueError:
        with pytest.raises(ValueError, match=r"RLE|ascii"):
            _ = rle.area_px
    else:
        assert mask.shape == size
        assert mask.sum() == rle.area_px
        assert set(text) <= set(map(chr, range(48, 112)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not cover 3 x 4 pixels"),
        ("=", "does not cover"),
        ("N", "does not cover"),
        ("0" * 12, "does not cover"),
        ("42112", "does not cover"),
        ("4210P", "ends within a number"),
        ("4210p", "'p' cannot stand in an RLE string"),
        ("42 02", "' ' cannot stand in an RLE string"),
        ("4210\u00fc", "ascii"),
    ],
)
def test_an_invalid_rle_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CocoRle((3, 4), text).decode()


@pytest.mark.parametrize("mask", [np.zeros((2, 2), np.uint8), np.zeros(4, bool)])
def test_only_boolean_masks_are_encoded(mask: Any) -> None:
    with pytest.raises(ValueError, match=r"expected bool \(height, width\)"):
        CocoRle.from_mask(mask)


def ref(key: str = "a/b.jpg", bucket: str = "photos", version: str = "v1") -> ImageRef:
    return ImageRef("s3", bucket, key, version, 10)


GENERATION = ImageRevision("v1", "f1")


def test_ids_are_the_same_for_ever() -> None:
    assert str(image_id(ref())) == "292bd0e7-047a-5441-a8bf-53a6664c1a86"
    assert GENERATION.id == "f23a2b1afbb4583084f79a863d7519b5"
    assert str(object_id(image_id(ref()), GENERATION, 0)) == "4ab4afee-c928-5fbb-9164-4f2fc4941e29"
    assert (
        str(object_id(image_id(ref()), GENERATION, IMAGE_ORDINAL))
        == "7ad0e6b1-8628-53d0-af52-f2926a9e287b"
    )
    assert fingerprint({"b": 1, "a": [0.5, None, "ü"]}) == "ff9a21245ac0cacb"


def test_an_id_is_the_uuid5_of_its_length_prefixed_parts() -> None:
    name = b"2:s36:photos7:a/b.jpg"
    digest = hashlib.sha1(NAMESPACE.bytes + name).digest()
    assert image_id(ref()) == uuid.UUID(bytes=digest[:16], version=5)
    assert image_id(ref()).version == 5


# Keys as an operating system gives them: any bytes, those that are not UTF-8 as lone surrogates.
keys = st.binary(min_size=1, max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@given(st.lists(st.tuples(st.sampled_from(["s3", "file"]), keys, keys), min_size=2, unique=True))
def test_different_images_have_different_ids(images: list[tuple[Any, str, str]]) -> None:
    ids = {image_id(ImageRef(store, bucket, key, "v", 1)) for store, bucket, key in images}
    assert len(ids) == len(images)


@given(keys)
def test_a_file_is_known_by_its_uri(key: str) -> None:
    image = ImageRef("file", "", "/" + key, "v", 3)
    assert ImageRef.from_uri(image.uri, "v", 3) == image


@given(
    st.text("abc.-", min_size=3),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
def test_an_s3_object_is_known_by_its_uri(bucket: str, key: str) -> None:
    image = ImageRef("s3", bucket, key, "v", 3)
    assert ImageRef.from_uri(image.uri, "v", 3) == image


@pytest.mark.parametrize("uri", ["", "a.jpg", "s3://", "s3://bucket", "s3://bucket/", "ftp://a/b"])
def test_what_is_no_uri_of_an_image_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="expected s3://bucket/key, file:///path or http"):
        ImageRef.from_uri(uri, "v", 3)


def test_parts_do_not_run_into_one_another() -> None:
    assert image_id(ref("b", "a")) != image_id(ref("", "ab"))
    assert ImageRevision("a", "b").id != ImageRevision("ab", "").id
    assert ImageRevision("1:a", "b").id != ImageRevision("1", "a1:b").id


@given(keys, keys, st.text(max_size=8))
def test_the_id_of_an_image_is_not_that_of_its_bytes(key: str, bucket: str, version: str) -> None:
    image = ImageRef("s3", bucket, key, "v1", 1)
    other_image = ImageRef("s3", bucket, key, version, 2)
    assert image_id(image) == image_id(other_image)
    key_normalised = ImageRef("s3", bucket, key + "/../x", "v1", 1)
    assert image_id(key_normalised) != image_id(image)


def test_objects_differ_by_image_generation_and_ordinal() -> None:
    ids = {
        object_id(image_id(ref(key)), ImageRevision(version, pipeline), ordinal)
        for key in ("a", "b")
        for version in ("v1", "v2")
        for pipeline in ("f1", "f2")
        for ordinal in (IMAGE_ORDINAL, 0, 1, 11)
    }
    assert len(ids) == 32


def test_a_file_name_that_is_not_utf8_has_a_uri_and_an_id() -> None:
    odd = ImageRef("file", "", "/data/\udcff.jpg", "v", 1)
    assert odd.uri == "file:///data/%FF.jpg"
    assert image_id(odd) != image_id(ImageRef("file", "", "/data/\ufffd.jpg", "v", 1))


def test_a_fingerprint_depends_on_values_not_on_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert len({fingerprint({"a": value}) for value in (1, "1", None, [1], 1.5)}) == 5
    with pytest.raises(ValueError, match="JSON compliant"):
        fingerprint({"a": float("nan")})


def embedded(
    vector: Any = None, image: ImageRef | None = None, mask: BoolMask | None = None
) -> EmbeddedImage:
    """An image with one object, whose vector is `vector`."""
    mask = np.ones((4, 6), bool) if mask is None else mask
    height, width = mask.shape
    image = ref() if image is None else image
    shape = ObjectMask(
        CocoRle.from_mask(mask), (0, 0, width, height), int(mask.sum()), 0.875, 0.75, (1.5, 2.0)
    )
    good = np.ones(3, np.float32)
    vectors = {VECTOR_NAME: good if vector is None else vector}
    ids = [object_id(image_id(image), GENERATION, ordinal) for ordinal in (IMAGE_ORDINAL, 0)]
    return EmbeddedImage(
        image,
        (height, width),
        GENERATION,
        "sam_x",
        "clip_x",
        ImageRecord(ids[0], {VECTOR_NAME: good}),
        (ObjectRecord(ids[1], shape, vectors),),
    )


@given(
    masks.filter(lambda mask: mask.any()),
    keys,
    st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC)),
)
def test_a_payload_survives_json(mask: BoolMask, key: str, at: datetime) -> None:
    image = embedded(image=ImageRef("file", "", key, "v1", 10), mask=mask)
    for ordinal, record in ((IMAGE_ORDINAL, image.whole), (0, image.objects[0])):
        payload = payload_of(image, record, ordinal, at, at)
        stored = payload.model_dump(mode="json", exclude_none=True)
        assert PointPayload.model_validate(json.loads(json.dumps(stored))) == payload
        assert PointPayload.model_validate_json(payload.model_dump_json()) == payload
        stored_text = json.dumps(stored, ensure_ascii=False).encode()
        assert PointPayload.model_validate_json(stored_text) == payload
        assert payload.ingested_at == payload.run_started_at == at
    assert payload.rle is not None
    np.testing.assert_array_equal(payload.rle.to_rle().decode(), mask)
    assert payload.area_frac == mask.sum() / mask.size


def test_the_payload_of_an_image_has_no_mask() -> None:
    image = embedded()
    whole = payload_of(image, image.whole, IMAGE_ORDINAL, datetime(2026, 1, 1, tzinfo=UTC))
    assert (whole.kind, whole.bbox, whole.area, whole.area_frac) == ("image", (0, 0, 6, 4), 24, 1.0)
    stored = whole.model_dump(mode="json", exclude_none=True)
    assert not {"rle", "predicted_iou", "stability_score"} & set(stored)
    assert stored["ingested_at"] == "2026-01-01T00:00:00Z"
    # As points of older indexes are.
    assert "run_started_at" not in stored


@given(masks.filter(lambda mask: mask.any()), keys, st.randoms())
def test_the_checksum_of_points_survives_json_and_order(
    mask: BoolMask, key: str, random: Random
) -> None:
    image = embedded(image=ImageRef("file", "", key, "v1", 10), mask=mask)
    records = [(IMAGE_ORDINAL, image.whole), (0, image.objects[0])]
    random.shuffle(records)
    now = datetime.now(UTC)
    stored = {
        str(record.object_id): payload_of(image, record, ordinal, now, now).model_dump(
            mode="json", exclude_none=True
        )
        for ordinal, record in records
    }
    found = [
        digest(identity, PointPayload.model_validate(json.loads(json.dumps(payload))))
        for identity, payload in stored.items()
    ]
    assert checksum(found) == checksum_of(image)
    assert checksum(found[:1]) != checksum_of(image)


@pytest.mark.parametrize(
    "change",
    [
        {"area": 5}, {"bbox": (0, 0, 1, 2)}, {"uri": "s3://x/y"}, {"predicted_iou": 0.5},
        {"segmenter_label": "dog"}, {"segmenter_score": 0.5},
    ],
)  # fmt: skip
def test_the_checksum_covers_what_a_payload_says(change: dict[str, Any]) -> None:
    image = embedded()
    payload = payload_of(image, image.objects[0], 0, datetime.now(UTC))
    identity = str(image.objects[0].object_id)
    assert digest(identity, payload) != digest(identity, payload.model_copy(update=change))
    assert digest(identity, payload) != digest(str(image.whole.object_id), payload)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_last_bit_of_a_number_is_not_part_of_the_checksum(score: float, step: float) -> None:
    image = embedded()
    payload = payload_of(image, image.objects[0], 0, datetime.now(UTC))
    exact = payload.model_copy(update={"predicted_iou": score})
    near = payload.model_copy(update={"predicted_iou": float(np.nextafter(score, step))})
    assume(abs(score * 1e6 % 1 - 0.5) > 1e-9)
    assert digest("a", exact) == digest("a", near)
    other = payload.model_copy(update={"predicted_iou": score + 2e-6})
    assert digest("a", exact) != digest("a", other)


def test_good_vectors_pass() -> None:
    check_vectors(embedded(), 3)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.ones(4, np.float32), r"3 numbers in float32, got float32 \(4,\)"),
        (np.ones((1, 3), np.float32), r"3 numbers in float32, got float32 \(1, 3\)"),
        (np.ones(3, np.float64), r"3 numbers in float32, got float64 \(3,\)"),
        (np.zeros(3, np.float32), "finite vector other than zero"),
        (np.array([1, np.nan, 0], np.float32), "finite vector other than zero"),
        (np.array([1, -np.inf, 0], np.float32), "finite vector other than zero"),
    ],
)
def test_a_bad_vector_is_refused_with_its_place(vector: Any, message: str) -> None:
    image = embedded(vector)
    with pytest.raises(InvalidVectorError, match=message) as caught:
        check_vectors(image, 3)
    assert f"(s3://photos/a/b.jpg, object {image.objects[0].object_id})" in str(caught.value)


@pytest.mark.parametrize(
    ("bbox_xyxy", "area_px"),
    [
        ((0, 0, 7, 4), 4),
        ((-1, 0, 6, 4), 4),
        ((3, 0, 3, 4), 1),
        ((0, 0, 2, 2), 5),
        ((0, 0, 2, 2), 0),
    ],
)
def test_a_box_or_area_that_cannot_be_is_refused(
    bbox_xyxy: tuple[int, int, int, int], area_px: int
) -> None:
    rle = CocoRle.from_mask(np.ones((4, 6), bool))
    with pytest.raises(ValueError, match="does not"):
        ObjectMask(rle, bbox_xyxy, area_px, 0.9, 0.9, (0.0, 0.0))


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "ö"]), st.text(max_size=20)), max_size=8))
def test_ids_of_many_images_are_those_of_each(images: list[tuple[str, str]]) -> None:
    refs = [ImageRef("s3", bucket, key + "\udcff", "v1", 1) for bucket, key in images]
    assert [bytes(raw) for raw in image_ids_bytes(refs)] == [image_id(ref).bytes for ref in refs]
