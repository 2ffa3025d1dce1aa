"""Which files of a folder are images, for training and prediction alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from segsuite.errors import FileAccessError

# What is looked for where nothing else is said; any file that is named is read by its content.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif"),
    *(".jp2", ".avif", ".npy", ".npz"),
)
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".pgm", ".gif", ".npy", ".npz")


def list_files(folder: str | os.PathLike[str], suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder and its subfolders that end in one of `suffixes`, sorted.

    Hidden files and folders, whose names begin with a dot, are left out. Links to folders are
    followed; a folder that is reached in several ways is searched once, without the links if there
    is such a way. Of a folder that does not exist there are none.

    Raises:
        FileAccessError: a folder can't be read.
    """
    endings = tuple(suffix.lower() for suffix in suffixes)
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    folders: list[str] = [os.fspath(folder)]
    links: list[str] = []
    while folders or links:
        # What can be reached without a link comes first.
        current = folders.pop() if folders else links.pop(0)
        try:
            status = os.stat(current)
        except FileNotFoundError:
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in _entries(current):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                (links if entry.is_symlink() else folders).append(entry.path)
            elif entry.name.lower().endswith(endings):
                found.append(Path(entry.path))
    return sorted(found)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as e:
        raise FileAccessError(e.errno, f"the folder {folder} can't be read: {e.strerror}") from None
