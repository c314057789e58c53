"""Clips of what is in videos: which part, what is drawn in it, and what a player gets."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from pipeline.drawing.clip import (
    MOST_S,
    Frame,
    choose_frame_side,
    choose_region,
    choose_span,
    draw_clip,
)
from pipeline.drawing.clip_files import encode_mp4, encode_webp
from pipeline.drawing.outlines import ACCENT
from pipeline.search.moving_mask import MovingMask
from schemas.errors import BadImageError
from schemas.masks import CocoRle, ObjectMask
from schemas.payload import PointPayload
from schemas.videos import Sighting

HEIGHT, WIDTH = 120, 160
WHOLE = (0, 0, WIDTH, HEIGHT)
GREY = 110


def payload(**changes: Any) -> PointPayload:
    values = {
        "kind": "object", "ordinal": 0, "store": "file", "bucket": "", "key": "a.mp4",
        "uri": "file:///a.mp4", "image_id": "i", "version": "v", "generation": "g",
        "fingerprint": "f", "segmenter": "s", "embedder": "e", "width": WIDTH, "height": HEIGHT,
        "bbox": (20, 40, 50, 70), "area": 900, "area_frac": 0.05, "shot": 0,
        "ingested_at": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return PointPayload.model_validate(values | changes)


def times(start_s: float, end_s: float, key_s: float) -> dict[str, float]:
    return {"t_start": start_s, "t_end": end_s, "t_key": key_s, "duration": end_s - start_s}


def square(x: int) -> ObjectMask:
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    pixels[40:70, x : x + 30] = True
    mask = ObjectMask.measure(CocoRle.from_mask(pixels))
    assert mask is not None
    return mask


def moving() -> MovingMask:
    """A square that goes from the left to the right within a second."""
    return MovingMask([Sighting(0.5, square(20), 0.0), Sighting(1.5, square(100), 0.0)])


def frames(count: int, rate: float, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Iterator[Frame]:
    for k in range(count):
        yield k / rate, np.full((*size, 3), GREY, np.uint8)


def decode_mp4(data: bytes) -> tuple[list[tuple[float, np.ndarray]], Any]:
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        decoded = [
            (float(frame.time), frame.to_ndarray(format="rgb24").astype(int))
            for frame in container.decode(stream)
        ]
        about = (stream.codec_context.name, stream.pix_fmt, float(container.duration) / 1e6)
    return decoded, about


def is_line(pixels: np.ndarray) -> np.ndarray:
    """Where the line's colour is, as good as a codec keeps it."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    return (red > 170) & (green < 120) & (blue < 170)


def test_a_clip_is_all_of_the_time_or_the_best_of_it() -> None:
    assert choose_span(payload(**times(3.0, 8.0, 4.0)), None) == (3.0, 8.0)
    assert choose_span(payload(**times(0.0, 60.0, 30.0)), None) == (25.0, 35.0)
    assert choose_span(payload(**times(2.0, 60.0, 3.0)), None) == (2.0, 2.0 + MOST_S)
    assert choose_span(payload(**times(2.0, 60.0, 59.0)), None) == (50.0, 60.0)


def test_an_instant_has_time_around_it_within_its_shot() -> None:
    instant = payload(**times(4.0, 4.0, 4.0))
    assert choose_span(instant, None) == (4.0, 4.0)
    assert choose_span(instant, payload(kind="image", **times(0.0, 9.0, 5.0))) == (3.25, 4.75)
    assert choose_span(instant, payload(kind="image", **times(4.0, 9.0, 5.0))) == (4.0, 4.75)
    assert choose_span(instant, payload(kind="image", **times(4.0, 4.0, 4.0))) == (4.0, 4.0)


def test_the_line_goes_with_the_object() -> None:
    drawn = list(draw_clip(frames(30, 10), moving(), WHOLE, (HEIGHT, WIDTH)))
    assert [time_s for time_s, _ in drawn] == [k / 10 for k in range(30)]
    for time_s, middle_x in ((0.5, 35), (1.0, 75), (1.5, 115)):
        line = is_line(dict(drawn)[time_s])
        rows, columns = np.nonzero(line)
        assert abs((columns.min() + columns.max()) / 2 - middle_x) <= 1
        assert abs((rows.min() + rows.max()) / 2 - 55) <= 1
        assert not line[50:60, middle_x - 10 : middle_x + 10].any()
        # Neither within it nor beside it anything is changed.
        others = dict(drawn)[time_s].copy()
        others[30:80, middle_x - 25 : middle_x + 25] = GREY
        assert (others == GREY).all()
        assert (dict(drawn)[time_s][48:62, middle_x - 8 : middle_x + 8] == GREY).all()
    # It is held for a moment, and nothing is drawn where it was not seen.
    assert is_line(drawn[3][1]).any()
    assert is_line(drawn[17][1]).any()
    for at in (0, 1, 20, 29):
        assert (drawn[at][1] == GREY).all()


def test_smaller_frames_have_the_line_in_the_same_place() -> None:
    centres = []
    for share in (1, 2):
        frame = np.full((HEIGHT // share, WIDTH // share, 3), GREY, np.uint8)
        ((_, pixels),) = draw_clip([(1.0, frame)], moving(), WHOLE, (HEIGHT, WIDTH))
        assert pixels.shape == frame.shape
        centres.append(np.argwhere(is_line(pixels)).mean(axis=0) * share)
    np.testing.assert_allclose(*centres, atol=2)


def test_a_region_shows_where_the_object_goes() -> None:
    hit = payload(**times(0.5, 1.5, 0.5))
    region = choose_region(hit, moving(), (0.5, 1.5))
    x0, y0, x1, y1 = region
    assert x0 <= 20
    assert x1 >= 130
    assert y0 < 40 < 70 < y1
    assert 0 <= x0 < x1 <= WIDTH
    assert 0 <= y0 < y1 <= HEIGHT
    assert choose_frame_side(WHOLE, (HEIGHT, WIDTH)) == 480
    assert choose_frame_side((0, 0, 40, 30), (HEIGHT, WIDTH)) == 480 * 4
    drawn = list(draw_clip(frames(16, 10), moving(), (10, 30, 150, 80), (HEIGHT, WIDTH)))
    assert drawn[0][1].shape == (50, 140, 3)
    columns = np.nonzero(is_line(drawn[5][1]))[1]
    assert abs((columns.min() + columns.max()) / 2 - (35 - 10)) <= 1


def test_at_most_fifteen_frames_a_second() -> None:
    for rate, kept in ((10, 10), (15, 15), (24, 12), (25, 12.5), (29.97, 15), (60, 15)):
        drawn = list(
            draw_clip(frames(round(2 * rate), rate), MovingMask(()), WHOLE, (HEIGHT, WIDTH))
        )
        assert len(drawn) == pytest.approx(2 * kept, abs=1), rate


def test_a_player_gets_every_frame_at_its_time() -> None:
    uneven = [0.0, 0.1, 0.35, 0.4, 1.0]
    shades = [20, 60, 100, 140, 180]
    source = [
        (7.3 + time_s, np.full((HEIGHT, WIDTH, 3), shade, np.uint8))
        for time_s, shade in zip(uneven, shades, strict=True)
    ]
    data = encode_mp4(iter(source))
    decoded, (codec, pixel_format, lasts_s) = decode_mp4(data)
    assert (codec, pixel_format) == ("h264", "yuv420p")
    assert data.index(b"moov") < data.index(b"mdat")
    assert [time_s for time_s, _ in decoded] == pytest.approx(uneven, abs=1e-3)
    # The last one lasts as long as the one before.
    assert lasts_s == pytest.approx(1.6, abs=2e-3)
    for (_, pixels), shade in zip(decoded, shades, strict=True):
        assert np.abs(pixels - shade).max() <= 4
    assert encode_mp4(iter(source)) == data


def test_colours_are_kept() -> None:
    colours = [ACCENT, (30, 200, 60), (20, 40, 220)]
    source = [(k / 10, np.full((64, 64, 3), colour, np.uint8)) for k, colour in enumerate(colours)]
    for (_, pixels), colour in zip(decode_mp4(encode_mp4(source))[0], colours, strict=True):
        assert np.abs(pixels[20:40, 20:40] - colour).max() <= 12


def test_odd_sizes_and_single_frames() -> None:
    for size in ((1, 1), (33, 47), (2, 3)):
        decoded, (_, _, lasts_s) = decode_mp4(encode_mp4(frames(1, 10, size)))
        assert decoded[0][1].shape[:2] == tuple(side + side % 2 for side in size)
        assert lasts_s == pytest.approx(1.0, abs=0.01)
    with pytest.raises(BadImageError, match="expected frames"):
        encode_mp4([])
    with pytest.raises(BadImageError, match="expected frames"):
        encode_webp([])


def test_an_animation_runs_on() -> None:
    source = list(draw_clip(frames(20, 10), moving(), WHOLE, (HEIGHT, WIDTH)))
    data = encode_webp(source)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.info["loop"] == 0
        shown = [
            (np.asarray(frame.convert("RGB")).astype(int), frame.info["duration"])
            for frame in ImageSequence.Iterator(picture)
        ]
    assert sum(lasts for _, lasts in shown) == 2000
    assert is_line(shown[10][0]).any()
    assert encode_webp(source) == data
