"""A PNG writer whose files are the same bytes everywhere.

Compressors differ between zlib versions and between zlib and zlib-ng, so pixels are stored without
compression: for the small pictures of a generated data set that is also the fastest to read.

PNG Specification (W3C, 2003); zlib and deflate formats, RFC 1950 and RFC 1951.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3
_MAX_STORED_BLOCK = 65535


def encode_png(pixels: np.ndarray, palette: Sequence[tuple[int, int, int]] | None = None) -> bytes:
    """Encode an 8-bit image.

    Args:
        pixels: (H, W, 3) uint8 RGB, or (H, W) uint8 grey values or, with `palette`, indices.
        palette: RGB colours, at most 256.
    """
    assert pixels.dtype == np.uint8, pixels.dtype
    height, width = pixels.shape[:2]
    color_type = _RGB if pixels.ndim == 3 else _GREY if palette is None else _PALETTE
    # Each row starts with the number of its filter, 0 for none.
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0))).tobytes()
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0))]
    if palette is not None:
        chunks.append(_chunk(b"PLTE", bytes(value for color in palette for value in color)))
    chunks += [_chunk(b"IDAT", _stored(rows)), _chunk(b"IEND", b"")]
    return _SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _stored(data: bytes) -> bytes:
    """A zlib stream of stored blocks."""
    blocks = []
    for start in range(0, len(data), _MAX_STORED_BLOCK):
        block = data[start : start + _MAX_STORED_BLOCK]
        is_last = start + _MAX_STORED_BLOCK >= len(data)
        blocks.append(struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF) + block)
    return b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(data))
