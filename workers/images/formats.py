"""Lists the formats that are decoded, and says of other files what they are."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image, UnidentifiedImageError

from schemas.errors import one_line

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
# Not Pillow's own list: some of its formats begin like anything.
# fmt: off
_OTHER_KINDS = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"), (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop file"), (b"%PDF", "PDF"), (b"%!PS", "PostScript file"),
    (b"\0\0\1\0", "Windows icon"), (b"\0\0\2\0", "Windows cursor"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance file"), (b"DDS ", "DDS"), (b"qoif", "QOI"), (b"SIMPLE  =", "FITS"),
    (b"FUJIFILMCCD-RAW", "raw photo of a camera"), (b"IIRO", "raw photo of a camera"),
    (b"IIU\0", "raw photo of a camera"), (b"\x8aMNG", "MNG"), (b"\x8bJNG", "JNG"),
    (b"II\xbc\x01", "JPEG XR"), (b"BPG\xfb", "BPG"), (b"FLIF", "FLIF"), (b"gimp xcf", "GIMP file"),
    (b"\x1f\x8b", "gzip archive"), (b"PK\3\4", "zip archive"), (b"Rar!", "RAR archive"),
    (b"version https://git-lfs", "pointer of git-lfs"),
)
# fmt: on
_ISO_KINDS = {
    b"crx ": "raw photo of a camera",
    b"qt  ": "QuickTime video",
    b"jp2 ": "JPEG 2000",
    b"jxl ": "JPEG XL",
}


@cache
def allowed_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are decoded, as far as this Pillow has them.

    HEIF needs the package pillow-heif.
    """
    Image.init()
    _register_heif()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _register_heif() -> None:
    try:
        import pillow_heif
    except ImportError:
        return
    # A process decodes beside others; thumbnails and depths are of no use.
    pillow_heif.register_heif_opener(
        decode_threads=1, thumbnails=False, depth_images=False, aux_images=False
    )


def choose_readers(data: bytes) -> tuple[str, ...]:
    """Pillow's names of the formats to try. Its reader of AVIF ends in errors of HEIF's files."""
    is_heif = _is_heif(data) and "HEIF" in allowed_formats()
    return ("HEIF",) if is_heif else allowed_formats()


def find_format(data: bytes) -> str | None:
    """Which of the formats the bytes begin like; None if like none of them."""
    return next((name for name in allowed_formats() if _begins_like(name, data)), None)


def explain_unidentified(data: bytes) -> str:
    """What bytes are that no decoder knows, and what is wrong with them: expected ..., got ..."""
    format_name = find_format(data)
    if format_name is not None:
        reason = _find_refusal(format_name, data)
        return (
            f"expected a readable image, got {with_article(format_name)} that Pillow cannot read"
            f"{f': {reason}' if reason else ''}"
        )
    if "HEIF" not in allowed_formats() and _is_heif(data):
        return (
            "expected an image that is read without another package, got a HEIF, which needs "
            "pillow-heif: install objseek[heif]"
        )
    kind = _find_other_kind(data)
    got = f"{len(data)} bytes that begin with {data[:8]!r}" if kind is None else with_article(kind)
    return f"expected an image ({', '.join(allowed_formats())}), got {got}"


def with_article(noun: str) -> str:
    """A, or before a vowel an, and the noun, as it is spoken."""
    return f"an {noun}" if noun.startswith(("AVIF", "MNG", "RAR", "FITS", "O")) else f"a {noun}"


def _begins_like(format_name: str, data: bytes) -> bool:
    if format_name == "HEIF" or (format_name == "AVIF" and _is_heif(data)):
        return format_name == "HEIF" and _is_heif(data)
    accepts = Image.OPEN[format_name][1]
    return accepts is not None and accepts(data[:16]) is True


def _is_heif(data: bytes) -> bool:
    length = int.from_bytes(data[:4])
    brands = data[8 : min(length, 256)]
    return data[4:8] == b"ftyp" and any(brand in brands for brand in _HEIF_BRANDS)


def _find_refusal(format_name: str, data: bytes) -> str:
    """Why Pillow's reader of this format takes the bytes for none of its own."""
    try:
        Image.OPEN[format_name][0](io.BytesIO(data), "").close()
    except UnidentifiedImageError:
        return ""
    # Readers raise nearly every built-in exception on hostile bytes.
    except Exception as exc:
        return one_line(exc)
    return ""


def _find_other_kind(data: bytes) -> str | None:
    if data[4:8] == b"ftyp":
        return _ISO_KINDS.get(data[8:12], "video or other file of ISO boxes")
    if data[:4] == b"RIFF":
        return "RIFF file"
    return next((kind for magic, kind in _OTHER_KINDS if data.startswith(magic)), None)
