"""The picture of docs/views.md, and the page's table of settings."""

import json
import re

import numpy as np
from support.object_masks import object_mask
from support.paths import ROOT

from bench.view_panels import draw_panels
from schemas.options import CropOptions

PAGE = (ROOT / "docs" / "views.md").read_text()


def test_each_object_has_a_row_and_each_way_to_cut_a_column():
    image = np.full((40, 60, 3), (0, 0, 255), np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:50] = True
    image[mask] = (255, 0, 0)
    sheet = np.asarray(draw_panels([(image, object_mask(mask)), (image, object_mask(mask))]))
    step = 112 + 4
    assert sheet.shape == (22 + 2 * step - 4, 9 * step - 4, 3)
    cells = [sheet[22 + row * step :, column * step :] for row in (0, 1) for column in range(9)]
    assert all((cell[56, 56] == (255, 0, 0)).all() for cell in cells)
    corners = [tuple(cell[1, 1].tolist()) for cell in cells[:9]]
    fill, blue = CropOptions().cutout_fill, (0, 0, 255)
    assert corners[:2] == [fill, blue]
    assert corners[3:] == [fill, blue, blue, blue, fill, blue]


def test_the_page_has_every_setting_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| `?(.+?)(?:`| \|)", PAGE, re.M))
    defaults = CropOptions().model_dump(mode="json")
    assert rows == {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in defaults.items()
    }


def test_the_picture_is_small():
    assert "](views.webp)" in PAGE
    assert (ROOT / "docs" / "views.webp").stat().st_size < 150_000
