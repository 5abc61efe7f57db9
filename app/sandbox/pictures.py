"""Pictures of coloured squares: written as text, sent as PNG, and read again.

Shape: rows of one letter a square, split by "/"; "." is an empty one: "r.b/.gg" has two rows.
Source: the PNG specification (third edition), of which only palette images without filters are
written and read.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Mapping

COLOURS: Mapping[str, str] = {
    "r": "red",
    "g": "green",
    "b": "blue",
    "y": "yellow",
    "k": "black",
    "o": "orange",
}
EMPTY = "."
_LETTERS = EMPTY + "".join(COLOURS)
_PALETTE = bytes.fromhex("ffffff e6194b 3cb44b 4363d8 ffe119 000000 f58231")
_SQUARE_PX = 8
_LONGEST_PX = 256
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DATA_URL = "data:image/png;base64,"


def data_url(picture: str) -> str:
    """The picture as an `image_url` takes it."""
    return _DATA_URL + base64.b64encode(_png(picture)).decode()


def read_data_url(url: str) -> str | None:
    """The picture behind the URL; None for anything but one of ours. Nothing is fetched."""
    if not url.startswith(_DATA_URL):
        return None
    try:
        return _read_png(base64.b64decode(url.removeprefix(_DATA_URL), validate=True))
    except (binascii.Error, zlib.error, struct.error, ValueError, IndexError):
        return None


def _png(picture: str) -> bytes:
    rows = picture.split("/")
    height_px, width_px = len(rows) * _SQUARE_PX, len(rows[0]) * _SQUARE_PX
    lines = [
        bytes(_LETTERS.index(letter) for letter in row for _ in range(_SQUARE_PX)) for row in rows
    ]
    scanlines = b"".join(b"\0" + line for line in lines for _ in range(_SQUARE_PX))
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 3, 0, 0, 0)
    return _SIGNATURE + b"".join(
        (
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", _PALETTE),
            _chunk(b"IDAT", zlib.compress(scanlines)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _read_png(raw: bytes) -> str:
    """Errors: ValueError, IndexError, struct.error or zlib.error where it is not as we write it."""
    chunks = _chunks(raw)
    width_px, height_px, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if form != [8, 3, 0, 0, 0] or chunks.get(b"PLTE") != _PALETTE:
        raise ValueError("another kind of PNG")
    if not 0 < width_px <= _LONGEST_PX or not 0 < height_px <= _LONGEST_PX:
        raise ValueError("too large")
    stride = width_px + 1
    scanlines = zlib.decompressobj().decompress(chunks[b"IDAT"], stride * height_px)
    middle = _SQUARE_PX // 2
    return "/".join(
        "".join(
            _LETTERS[scanlines[stride * y + 1 + x]] for x in range(middle, width_px, _SQUARE_PX)
        )
        for y in range(middle, height_px, _SQUARE_PX)
    )


def _chunks(raw: bytes) -> dict[bytes, bytes]:
    if not raw.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    found: dict[bytes, bytes] = {b"IHDR": b"", b"IDAT": b""}
    at = len(_SIGNATURE)
    while at < len(raw):
        size, kind = struct.unpack_from(">I4s", raw, at)
        found[kind] = raw[at + 8 : at + 8 + size]
        at += size + 12
    return found
