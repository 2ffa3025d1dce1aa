"""How much a file of weights may stand for, compared with its own size."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import torch

from segsuite.errors import WeightsError

# Weights hardly compress, and tensors seldom share memory. What is many times larger than its file
# was made to be: some bytes of it can fill any memory.
_RATIO = 8
_ALWAYS = 64 << 20
MAX_VALUES = 10_000_000


def max_bytes(file_bytes: int) -> int:
    """What the tensors of a file of `file_bytes` may have together."""
    return _RATIO * file_bytes + _ALWAYS


def check_archive(content: bytes) -> None:
    """Add up the sizes in the directory of a zip archive, before anything is unpacked.

    Raises:
        WeightsError: its records are far larger than the archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(record.file_size for record in archive.infolist())
    except Exception:  # of many kinds: it is damaged, and `damage` says how
        return
    _check_bytes(unpacked, len(content))


def check_extent(value: Any, file_bytes: int) -> None:
    """Look through what was read: containers may hold one object many times, tensors be expanded.

    Raises:
        WeightsError: written out it would be far larger than the file, or without end.
    """
    sizes: dict[int, int] = {}  # values that an object stands for; 0 while it is looked at
    tensors: dict[int, int] = {}

    def visit(item: Any) -> int:
        if isinstance(item, torch.Tensor):
            tensors[id(item)] = item.numel() * item.element_size()
        if not isinstance(item, (dict, list, tuple)):
            return 1
        if id(item) not in sizes:
            sizes[id(item)] = 0
            children = item.values() if isinstance(item, dict) else item
            size = 1 + sum(map(visit, children))
            if size > MAX_VALUES:
                raise WeightsError(
                    f"it stands for more than {MAX_VALUES:,} values, by naming some again and again"
                )
            sizes[id(item)] = size
        if not sizes[id(item)]:
            raise WeightsError("it holds itself")
        return sizes[id(item)]

    visit(value)
    _check_bytes(sum(tensors.values()), file_bytes)


def _check_bytes(unpacked: int, file_bytes: int) -> None:
    if unpacked > max_bytes(file_bytes):
        raise WeightsError(
            f"its {file_bytes / 1e6:,.1f} MB would become {unpacked / 1e6:,.0f} MB, far more than "
            "weights do; if you trust its source, load and save it again elsewhere"
        )
