"""Image files of kinds that Pillow does not write."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def write_png(path, pixels, *, bits, color):
    """Write (H, W) or (H, W, C) unsigned integers as a PNG of so many bits a sample.

    Args:
        color: the PNG's type of colour: 0 grey, 2 RGB, 4 grey and alpha, 6 RGB and alpha.
    """
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    if bits == 16:
        rows = rows.astype(">u2").view(np.uint8)
    elif bits < 8:
        shifts = np.arange(bits - 1, -1, -1)
        rows = np.packbits((rows[..., None] >> shifts & 1).reshape(height, -1).astype(bool), axis=1)

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", content), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def write_tiff(path, pixels, *, planar="contig", **options):
    """Write (H, W, C) of any type as one page, by tifffile."""
    import tifffile

    count = pixels.shape[2]
    if count == 1:
        pixels, planar = pixels[..., 0], None
    elif planar == "separate":
        pixels = pixels.transpose(2, 0, 1)
    color = "rgb" if count in (3, 4) and pixels.dtype.kind == "u" else "minisblack"
    if count == 4 and color == "rgb":
        options = {"extrasamples": [0], **options}
    tifffile.imwrite(path, pixels, photometric=color, planarconfig=planar, metadata=None, **options)
