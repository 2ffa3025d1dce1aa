"""`Spool`: what is predicted for each image, on disk until the evaluation ends."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from segsuite.errors import DataError
from segsuite.utils import comm


class Spool:
    """Takes JSON values image by image, and gives them back in the order of the images' ids.

    Nothing of it stays in memory, and the file has no name, so that an end of any kind leaves
    nothing behind.

    Args:
        folder: where the file lies; None: in the system's folder for such files.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None):
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
        # Open as long as the spool is there.
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder)  # noqa: SIM115

    def add(self, image_id: int | str, value: Any) -> None:
        """Keep what was predicted for an image: anything that JSON can hold."""
        self._file.write(json.dumps([image_id, value], separators=(",", ":")) + "\n")

    def gather(self) -> Iterator[tuple[Any, Any]]:
        """The (image_id, value) of all processes by `image_id`, on the main one; there alone.

        Raises:
            DataError: an image was added twice.
        """
        self._file.seek(0)
        of_processes = comm.gather(self._file.read())
        self._file.seek(0, os.SEEK_END)
        entries = [json.loads(line) for text in of_processes for line in text.splitlines()]
        # Ids of one data set are of one type; text and numbers together still have an order.
        entries.sort(key=lambda entry: (isinstance(entry[0], str), entry[0]))
        for (image_id, _), (following, _) in pairwise(entries):
            if image_id == following:
                raise DataError(
                    f"image {image_id} was predicted twice; every image of a data set must have "
                    "an image_id of its own, and be in one process's part of it"
                )
        return ((image_id, value) for image_id, value in entries)
