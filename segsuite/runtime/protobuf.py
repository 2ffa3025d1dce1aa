"""The little of protobuf's wire format that it takes to find a text in a message of any size.

A message is a row of fields, each with its number and length, so that those of no interest, such as
the graph of an ONNX model, are passed over, and no package is needed.
"""

from __future__ import annotations

import io
import os
from typing import IO

LENGTH_DELIMITED = 2  # the wire type of texts and messages
_FIXED_LENGTHS = {1: 8, 5: 4}  # bytes, by wire type


def read_strings(message: bytes) -> dict[int, bytes]:
    """The fields of a message of strings."""
    file, fields = io.BytesIO(message), {}
    while file.tell() < len(message):
        number, content = read_field(file, len(message), {1, 2})
        fields[number] = content
    return fields


def read_field(file: IO[bytes], size: int, wanted: set[int]) -> tuple[int, bytes]:
    """The number of a message's next field, and its bytes if it is one of those `wanted`.

    Args:
        size: of the message.

    Raises:
        ValueError: it is no message, or ends early.
    """
    tag = _read_varint(file)
    number, wire_type = tag >> 3, tag & 7
    content, length = b"", 0
    if wire_type == 0:
        _read_varint(file)
    elif wire_type in _FIXED_LENGTHS:
        length = _FIXED_LENGTHS[wire_type]
    elif wire_type == LENGTH_DELIMITED:
        length = _read_varint(file)
    else:
        raise ValueError(f"a field of the unknown type {wire_type}")
    if not number or file.tell() + length > size:
        raise ValueError("it ends early" if number else "a field of number 0")
    if wire_type == LENGTH_DELIMITED and number in wanted:
        content = file.read(length)
    else:
        file.seek(length, os.SEEK_CUR)
    return number, content


def _read_varint(file: IO[bytes]) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends early")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number of more than 64 bits")


def field_bytes(number: int, content: bytes) -> bytes:
    """A field as it stands in a message."""
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
