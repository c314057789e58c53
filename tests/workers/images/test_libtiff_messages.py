"""What libtiff has to say becomes the reason of a refusal, and no line of any log."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image
from support.image_files import encoded, photo

from schemas.errors import BadImageError
from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images.decode import decode
from workers.images.libtiff_messages import collect_messages

pytestmark = pytest.mark.trials

REF = ImageRef(store="s3", bucket="b", key="photo.tif", version="v", size_bytes=1)


def damaged(compression: str) -> bytes:
    data = bytearray(encoded(photo(1), "TIFF", compression=compression))
    data[40:600] = bytes(560)
    return bytes(data)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_nothing_is_printed_and_the_reason_has_it(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadImageError) as caught:
        decode(damaged(compression), REF, DecodeOptions())
    assert capfd.readouterr() == ("", "")
    message = str(caught.value)
    assert "got a TIFF that Pillow cannot decode: " in message
    assert {"tiff_lzw": "LZWDecode", "tiff_adobe_deflate": "ZIPDecode"}[compression] in message
    assert "\n" not in message
    assert "%" not in message  # the values have been put in


def test_pillow_alone_prints_it(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    path.write_bytes(damaged("tiff_lzw"))
    code = f"from PIL import Image\ntry: Image.open({str(path)!r}).load()\nexcept OSError: pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LZWDecode" in done.stderr


def test_messages_are_those_of_their_own_thread_and_time() -> None:
    def load() -> None:
        with pytest.raises(OSError, match="decoder error"):
            Image.open(io.BytesIO(damaged("tiff_lzw"))).load()

    with collect_messages() as messages:
        other = threading.Thread(target=load)
        other.start()
        other.join()
        assert messages == []
        with collect_messages() as inner:
            load()
        assert len(inner) in (1, 2)
        assert messages == []
    load()
    assert messages == []
