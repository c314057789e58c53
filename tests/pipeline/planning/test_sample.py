"""A sample of a folder and of a bucket: counts, sizes, formats, what is not read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from support.s3_server import moto_server

from pipeline.planning.sample import Sample, spread, take_sample
from schemas.errors import UsageError
from schemas.images import ImageRef
from schemas.options import DecodeOptions, StoreOptions


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 30)).save(buffer, kind)
    return buffer.getvalue()


def sample(source: Path, images: int = 40) -> Sample:
    return take_sample([str(source)], StoreOptions(), DecodeOptions(), images, None)


def test_a_folder_is_listed_whole(tmp_path: Path) -> None:
    contents = {"a.png": picture(100, 50), "b/c.jpg": picture(300, 200, "JPEG")}
    for name, content in contents.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "film.mp4").write_bytes(b"film")
    (tmp_path / "bad.png").write_bytes(b"no image")
    found = sample(tmp_path)
    assert (len(found.refs), found.is_complete, found.from_s3) == (3, True, False)
    assert found.skipped == {"not an image by its suffix": 2}
    assert found.unreadable == 1
    assert found.formats == {"PNG": 1, "JPEG": 1}
    assert found.megapixels == pytest.approx((100 * 50 + 300 * 200) / 2 / 1e6)
    sizes = [*map(len, contents.values()), len(b"no image")]
    assert found.image_bytes == pytest.approx(sum(sizes) / 3)
    assert found.list_page_s == pytest.approx(found.list_s / 3 * 1000)
    seconds = sum(image.decode_s for image in found.images)
    assert found.decode_mpx_s == pytest.approx(seconds / (65_000 / 1e6))
    assert found.read_s == pytest.approx(sum(image.read_s for image in found.images) / 2)


def test_a_bucket_is_listed_in_part_unless_it_is_to_be_counted() -> None:
    objects = {f"{number:03}.png": picture(10 + number, 10) for number in range(30)}
    with moto_server() as server:
        source = f"s3://{server.make_bucket(objects)}"
        store = StoreOptions(endpoint_url=server.endpoint_url)
        part = take_sample([source], store, DecodeOptions(), 3, 20)
        whole = take_sample([source], store, DecodeOptions(), 3, None)
        exact = take_sample([source], store, DecodeOptions(), 3, 30)
    assert (len(part.refs), part.is_complete, part.from_s3) == (20, False, True)
    assert (len(whole.refs), whole.is_complete) == (30, True)
    assert exact.is_complete
    # The 6th, 16th and 26th.
    assert [image.pixels for image in whole.images] == [150, 250, 350]


def test_a_sample_is_spread_over_the_listing() -> None:
    refs = [ImageRef("file", "", f"/{number}.png", "1", 1) for number in range(100)]
    assert [ref.key for ref in spread(refs, 4)] == ["/12.png", "/37.png", "/62.png", "/87.png"]
    assert spread(refs[:3], 4) == refs[:3]


def test_where_nothing_can_be_planned_for_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(UsageError, match=r"no images under .* \(skipped: 1 as not an image by"):
        sample(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"none of 1 images of .* can be read"):
        sample(tmp_path)
