"""Slices of a data set: images that have a tag, such as night or rain, from a table of tags."""

from __future__ import annotations

import csv
import functools
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segsuite.data.catalog import DatasetCatalog
from segsuite.errors import DataError, MissingFileError

logger = logging.getLogger(__name__)

# Headings of the column that names the images; where none of them is there it is the first.
_IMAGE_HEADINGS = (
    *("image", "images", "image_id", "imageid", "image_name", "file", "file_name", "filename"),
    *("path", "name", "id", "img"),
)
_SHOWN = 5


@dataclass(frozen=True)
class Slices:
    """Groups of images by name.

    Attributes:
        images: ids of the images of each slice, in the order of the file. An image may be in
            several, or in none.
    """

    images: dict[str, list[Any]]


def slices_of(path: str, dataset_name: str) -> Slices | None:
    """The slices of a data set by TEST.SLICES; None where `path` is empty.

    Raises:
        MissingFileError, DataError: see `read_slices`.
    """
    if not path:
        return None
    if not Path(path).is_file():
        raise MissingFileError(f"no file {path} of slices (TEST.SLICES, --slices)")
    return _cached(os.path.abspath(path), os.stat(path).st_mtime_ns, dataset_name)


@functools.lru_cache(maxsize=16)
def _cached(path: str, modified: int, dataset_name: str) -> Slices:
    # Several evaluators of a data set, and every evaluation, have the same ones.
    return read_slices(path, DatasetCatalog.get(dataset_name), dataset_name)


def read_slices(
    path: str | os.PathLike[str], records: Iterable[Mapping[str, Any]], dataset_name: str = ""
) -> Slices:
    """Read a table of image tags, and find the images of its rows.

    A row names an image, in the column ``image`` (or ``file_name``, ``image_id``, ...; else in the
    first one), and has tags in the other columns. A cell may have several, with ";", "|" or, in
    quotes, "," between them, and an image may have several rows. Of a single column with tags the
    slices are the tags (``night``); of several each is told with its column (``weather: rain``). A
    line of headings may be missing: then all tags stand by themselves. Cells may be separated by
    ",", ";" or tabs.

    Images are found by id or by file name: the whole path, its last parts, or these without their
    ending; either slash will do, and upper case for lower. Where the folders differ, as of paths on
    another machine, an image that no other row is of is found by the end of its path alone, which
    is told in the log, as are rows of images that the data set has not, and images without a tag.

    Args:
        path: of the CSV file, in UTF-8.
        records: of the data set, with ``file_name`` and ``image_id``.
        dataset_name: for messages.

    Raises:
        DataError: the file is no such table; a name fits several images; no row is of an image of
            the data set.
    """
    name, records = os.fspath(path), list(records)
    rows = _read_rows(name)
    index = _ImageIndex(records)
    header, rows = _split_header(rows, index)
    column = _image_column(header)
    tag_columns = [c for c in range(max(map(len, rows), default=0)) if c != column]
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    names = [row[column].strip() if column < len(row) else "" for row in rows]
    found, unknown = _find_images(names, index, name)
    images: dict[str, dict[Any, None]] = {}
    for row, image in zip(rows, found, strict=True):
        for c in tag_columns if image is not None else ():
            for tag in _tags(row[c] if c < len(row) else ""):
                title = header[c].strip() if header and len(tag_columns) > 1 else ""
                images.setdefault(f"{title}: {tag}" if title else tag, {})[image] = None
    _tell(name, dataset_name, len(rows), unknown, records, images)
    return Slices({tag: list(ids) for tag, ids in images.items()})


def _find_images(
    names: Sequence[str], index: _ImageIndex, path: str
) -> tuple[list[Any], list[str]]:
    """The id of each row's image, None for none, and the names of the latter."""
    found = [index.find(name, path) for name in names]
    certain = {image for image in found if image is not None}
    by_end = []
    for i, name in enumerate(names):
        if found[i] is None:
            image = index.find_by_end(name, path)
            if image is not None and image not in certain:
                found[i] = image
                by_end.append(name)
    if by_end:
        logger.warning(
            "%s: %d images are found by the end of their path alone, the first is %s",
            *(path, len(by_end), by_end[0]),
        )
    return found, [name for name, image in zip(names, found, strict=True) if image is None]


def _read_rows(path: str) -> list[list[str]]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise DataError(f"{path} is not a text in UTF-8 ({e}); save it as CSV in UTF-8") from None
    first = text.partition("\n")[0]
    # Of ";" in cells and ";" between them only the latter is the only separator of the first line.
    separator = next((s for s in "\t,;" if s in first), ",")
    try:
        rows = list(csv.reader(text.splitlines(), delimiter=separator, skipinitialspace=True))
    except csv.Error as e:
        raise DataError(f"{path} is not a CSV file: {e}") from None
    if not any(len(row) > 1 for row in rows):
        raise DataError(
            f"{path} has no column of tags; expected a CSV file of images and tags, with lines "
            "such as image,tags and 0001.jpg,night;rain"
        )
    return rows


def _split_header(
    rows: list[list[str]], index: _ImageIndex
) -> tuple[list[str] | None, list[list[str]]]:
    headings = [cell.strip().casefold() for cell in rows[0]]
    # Else a heading of their own, or an image that the data set has not.
    first = rows[0][0].strip()
    is_image = index.find(first, "") is not None or re.search(r"\.\w{2,5}$|^\d+$", first)
    is_header = any(h in _IMAGE_HEADINGS for h in headings) or not is_image
    return (rows[0], rows[1:]) if is_header else (None, rows)


def _image_column(header: list[str] | None) -> int:
    headings = [cell.strip().casefold() for cell in header or ()]
    named = [headings.index(h) for h in _IMAGE_HEADINGS if h in headings]
    return named[0] if named else 0


def _tags(cell: str) -> list[str]:
    return [tag.strip() for tag in re.split(r"[;|,]", cell) if tag.strip()]


def _tell(
    path: str,
    dataset_name: str,
    num_rows: int,
    unknown: list[str],
    records: Sequence[Mapping[str, Any]],
    images: Mapping[str, Mapping[Any, None]],
) -> None:
    tagged = {image for ids in images.values() for image in ids}
    if not tagged:
        example = records[0]["file_name"] if records else "none"
        raise DataError(
            f"{path}: no row has a tag for an image of data set '{dataset_name}'. It names "
            f"{', '.join(unknown[:_SHOWN]) or 'no image'}; the data set has {len(records)} images, "
            f"the first is {example}"
        )
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        logger.warning(
            "%s: %d of %d rows are of no image of data set '%s': %s%s",
            *(path, len(unknown), num_rows, dataset_name, ", ".join(unknown[:_SHOWN]), more),
        )
    left = len(records) - len(tagged)
    if left:
        logger.warning(
            "%s: %d of %d images of data set '%s' have no tag, and are in no slice",
            *(path, left, len(records), dataset_name),
        )


class _ImageIndex:
    """Images by whatever they may be called."""

    def __init__(self, records: Sequence[Mapping[str, Any]]):
        self._by_name: dict[str, set[Any]] = {}
        for record in records:
            file_name = str(record.get("file_name", ""))
            image_id = record.get("image_id", file_name)
            parts = _normalized(file_name).split("/")
            names = ["/".join(parts[i:]) for i in range(len(parts))]
            names += [name[: name.rfind(".")] for name in names if "." in name.rpartition("/")[2]]
            for name in {*names, _normalized(str(image_id))}:
                self._by_name.setdefault(name, set()).add(image_id)
        self._ids = {
            _normalized(str(record["image_id"])): record["image_id"]
            for record in records
            if "image_id" in record
        }

    def find(self, name: str, where: str) -> Any:
        """The id of the image of that name, or None.

        Raises:
            DataError: there are several.
        """
        name = _normalized(name)
        if name in self._ids:
            return self._ids[name]
        found = self._by_name.get(name, set())
        if not found and "." in name:  # another ending
            found = self._by_name.get(name[: name.rfind(".")], set())
        if len(found) > 1:
            raise DataError(
                f"{where}: '{name}' may be any of {len(found)} images, such as "
                f"{', '.join(map(str, sorted(found, key=str)[:3]))}; write more of its path"
            )
        return next(iter(found), None)

    def find_by_end(self, name: str, where: str) -> Any:
        """The same by the longest end of a path."""
        found = None
        while found is None and "/" in (name := _normalized(name)):
            name = name.partition("/")[2]
            found = self.find(name, where)
        return found


def _normalized(name: str) -> str:
    name = name.strip().replace("\\", "/").casefold()
    return name.removeprefix("./")
