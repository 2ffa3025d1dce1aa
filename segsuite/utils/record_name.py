"""What messages call a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def record_name(record: Mapping[str, Any]) -> str:
    """The name of a record in messages: its file, without one ``image <image_id>``."""
    if "file_name" in record:
        return str(record["file_name"])
    if "image_id" in record:
        return f"image {record['image_id']}"
    return "a record without file_name and image_id"
