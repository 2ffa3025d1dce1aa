"""Is a checkpoint file what was once written, to the bit?

`torch.save` writes a zip archive with a CRC for each record. `torch.load` does not look at it, and
it covers neither headers nor padding. A checkpoint of ours is sealed besides: the archive's
comment, which zip readers skip, holds the CRC-32 of every byte before it.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

_TAG = b"segsuite-crc32:"
_COMMENT_SIZE = len(_TAG) + 8
# An archive ends with the end-of-central-directory record, whose last field is the comment's size,
# and the comment.
_END_MAGIC = b"PK\x05\x06"
_END_SIZE = 22


def seal(archive: memoryview) -> bytes:
    """Prepare a zip archive without comment, in place, for the seal to append to it.

    Returns:
        The bytes that follow `archive` in the file.
    """
    archive[-2:] = struct.pack("<H", _COMMENT_SIZE)
    return _comment(zlib.crc32(archive))


def damage(content: bytes) -> str | None:
    """What is wrong with a zip archive, given all its bytes; None if nothing is.

    A sealed file must match its seal; in any other, every record must match its CRC.
    """
    tail = content[-_END_SIZE - _COMMENT_SIZE :]
    end, comment = tail[:_END_SIZE], tail[_END_SIZE:]
    if (
        end.startswith(_END_MAGIC)
        and end[-2:] == struct.pack("<H", _COMMENT_SIZE)
        and comment.startswith(_TAG)
    ):
        crc = zlib.crc32(memoryview(content)[:-_COMMENT_SIZE])
        return None if comment == _comment(crc) else "its checksum does not match its content"
    if not (tail[-_END_SIZE:].startswith(_END_MAGIC) and tail.endswith(b"\0\0")):
        return "its end is missing or overwritten"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            record = archive.testzip()
    except Exception as error:  # zipfile raises many kinds, depending on the field that is damaged
        return f"it is not a readable zip archive ({error})"
    return f"the checksum of its record '{record}' does not match" if record else None


def _comment(crc: int) -> bytes:
    return _TAG + b"%08x" % crc
