"""`Spool`: what is predicted for each image, on disk until the evaluation ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from segsuite.errors import DataError
from segsuite.utils import comm

_BLOCK = 1 << 23  # bytes that a process sends at a time


class Spooled(Sequence[tuple[Any, str]]):
    """The (image_id, text) of images in the order of their ids.

    A text is read when it is asked for.

    Attributes:
        image_ids: of the images.
    """

    def __init__(self, file: IO[bytes], entries: list[tuple[Any, int, int]]):
        self._file, self._entries = file, entries
        self.image_ids = [image_id for image_id, *_ in entries]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Spooled(self._file, self._entries[index])
        image_id, start, end = self._entries[index]
        self._file.seek(start)
        return image_id, self._file.read(end - start).decode()


class Spool:
    """Takes texts image by image, and gives them back in the order of the images' ids.

    In memory are the ids alone, and the file has no name, so that an end of any kind leaves nothing
    behind.

    Args:
        folder: where the file lies; None: in the system's folder for such files.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None):
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file = _temporary_file(folder)
        # Of each image the id, and from where to where its text lies in the file.
        self._entries: list[tuple[Any, int, int]] = []

    def add(self, image_id: int | str, text: str) -> None:
        """Keep what was predicted for an image."""
        start = self._file.seek(0, os.SEEK_END)
        self._entries.append((image_id, start, start + self._file.write(text.encode())))

    def gather(self) -> Spooled:
        """The texts of all processes, on the main one; there alone.

        Raises:
            DataError: an image was added twice.
        """
        entries, file = self._of_all_processes()
        # Ids of one data set are of one type; text and numbers together still have an order.
        entries.sort(key=lambda entry: (isinstance(entry[0], str), entry[0]))
        for (image_id, *_), (following, *_) in pairwise(entries):
            if image_id == following:
                raise DataError(
                    f"image {image_id} was predicted twice; every image of a data set must have "
                    "an image_id of its own, and be in one process's part of it"
                )
        return Spooled(file, entries)

    def _of_all_processes(self) -> tuple[list[tuple[Any, int, int]], IO[bytes]]:
        """Where the texts of all processes are, and the file that holds them."""
        size = self._file.seek(0, os.SEEK_END)
        gathered = comm.gather((self._entries, size))
        if comm.get_world_size() == 1:
            return list(self._entries), self._file
        sizes = comm.broadcast_object([size for _, size in gathered])
        together = _temporary_file(self._folder)
        starts = [sum(sizes[:rank]) for rank in range(len(sizes))]
        for offset in range(0, max(sizes), _BLOCK):
            self._file.seek(offset)
            for start, block in zip(starts, comm.gather(self._file.read(_BLOCK)), strict=False):
                together.seek(start + offset)
                together.write(block)
        entries = [
            (image_id, start + first, start + last)
            for start, (of_process, _) in zip(starts, gathered, strict=False)
            for image_id, first, last in of_process
        ]
        return entries, together


def _temporary_file(folder: str | os.PathLike[str] | None) -> IO[bytes]:
    # Open as long as the spool, or who reads it, is there.
    return tempfile.TemporaryFile("w+b", dir=folder)
