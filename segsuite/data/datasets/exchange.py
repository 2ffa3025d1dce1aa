"""What the readers of other programs' formats have in common.

Each brings what a program wrote into the content of a COCO instances file, and from there on
everything is as for such a file: what can't be used is told by the same words, and the records are
the same.
"""

from __future__ import annotations

import codecs
import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote

from segsuite.errors import ConfigError, DataError, FileAccessError, MissingFileError
from segsuite.utils.files import no_garbage_collection, parse_json

from ..cache import Columns, cached_columns
from ..cache.folder import file_state
from ..catalog import DatasetCatalog, Metadata, MetadataCatalog
from ..folders import IMAGE_SUFFIXES, list_files
from ..image import read_image_size
from ..records import ColumnRecords
from .annotation_shapes import Shape, box_of, segmentation_of
from .coco import records_of
from .coco_cache import pack_instances
from .coco_faults import Faults
from .coco_reading import parse_instances
from .image_paths import find_below
from .root import PATH_ADVICE

_SHOWN = 3
# A change of what files are read as reads them anew.
_VERSION = 2


class AnnotationReader(Protocol):
    """Reads a data set in some format. All that it is told is in its `repr`, as that of a data
    class of texts and tuples."""

    def files(self) -> list[Path]:
        """The files that its content depends on, images aside."""

    def read(self) -> COCOContent:
        """Everything in them.

        Raises:
            MissingFileError, DataError: a file is missing, or not in the format.
        """


class COCOContent:
    """Collects the content of a COCO instances file.

    Classes are those that are given, in that order; a label that is none of them and not ignored is
    an error, so that no object becomes background in silence. Where none are given, they are those
    that the format itself lists or else the labels that occur, sorted.

    Args:
        source: what messages call the data set: its file or folder.
        classes: names of the classes; None: every label is one.
        ignored: labels whose objects are left out.
        listed: names of classes that the format lists itself, where `classes` is None.

    Attributes:
        notes: by `finish`, what is to be said about the data set.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        classes: Sequence[str] | None = None,
        ignored: Sequence[str] = (),
        listed: Sequence[str] = (),
    ) -> None:
        self.source = str(source)
        self._ignored = frozenset(ignored)
        named = classes if classes is not None else [n for n in listed if n not in self._ignored]
        twice = [name for name, count in Counter(named).items() if count > 1]
        if twice:
            raise DataError(f"{source}: class '{twice[0]}' is listed twice; names occur once")
        self._classes = list(named)
        self._is_open = classes is None and not listed
        self._images: dict[int, dict[str, Any]] = {}
        self._annotations: list[dict[str, Any]] = []
        self._left_out: dict[str, list[str]] = {}
        self._noticed: dict[str, list[str]] = {}
        self.notes: list[str] = []

    def add_image(self, file_name: str | os.PathLike[str], size: tuple[int, int] | None) -> int:
        """Add an image.

        Args:
            size: (height, width) in pixels as the format tells it; None: the file's, upright.

        Returns:
            Its id, counted from 1 in the order of the calls.
        """
        height, width = read_image_size(file_name) if size is None else size
        if height < 1 or width < 1:
            height, width = read_image_size(file_name)
        image_id = len(self._images) + 1
        sizes = {"height": height, "width": width}
        self._images[image_id] = {"id": image_id, "file_name": str(file_name), **sizes}
        return image_id

    def size(self, image_id: int) -> tuple[int, int]:
        """(height, width) of an image."""
        return self._images[image_id]["height"], self._images[image_id]["width"]

    def add_object(
        self,
        image_id: int,
        label: str,
        shapes: Sequence[Shape],
        where: str,
        *,
        is_crowd: bool = False,
    ) -> None:
        """Add an object, which is all of its shapes together.

        Args:
            where: what messages call it, with its file.

        Raises:
            DataError: it has no label, or one that is no class, or it can't be drawn.
        """
        if label in self._ignored:
            self.leave_out(f"of the ignored class '{label}'", where)
            return
        try:
            annotation = {
                "bbox": box_of(shapes),
                "segmentation": segmentation_of(shapes, self.size(image_id)),
            }
        except DataError as e:
            raise DataError(f"{where}: {e}. Draw it anew, or delete it") from None
        if annotation["segmentation"] is None:
            del annotation["segmentation"]
        self.add_annotation(image_id, label, annotation, is_crowd, where)

    def add_annotation(
        self, image_id: int, label: str, annotation: dict[str, Any], is_crowd: bool, where: str
    ) -> None:
        """Add an object whose ``bbox`` and ``segmentation`` are as COCO's.

        Raises:
            DataError: it has no label, or one that is no class.
        """
        if label in self._ignored:
            self.leave_out(f"of the ignored class '{label}'", where)
            return
        place = {"id": len(self._annotations) + 1, "image_id": image_id}
        category = {"category_id": self._class_of(label, where), "iscrowd": int(is_crowd)}
        self._annotations.append({**place, **category, **annotation})

    def leave_out(self, kind: str, where: str) -> None:
        """Count something that is not used, to be told in one warning."""
        self._left_out.setdefault(kind, []).append(where)

    def notice(self, kind: str, where: str) -> None:
        """Count something that is used, but perhaps not as it was meant, to be told likewise."""
        self._noticed.setdefault(kind, []).append(where)

    def finish(self) -> dict[str, Any]:
        """``images``, ``annotations`` and ``categories``, whose ids count from 1.

        Raises:
            DataError: there are no images.
        """
        if not self._images:
            raise DataError(f"{self.source} has no image; expected one at least")
        names, annotations = self._classes, self._annotations
        if self._is_open:
            names = sorted(self._classes)
            new_ids = {i + 1: names.index(name) + 1 for i, name in enumerate(self._classes)}
            annotations = [{**a, "category_id": new_ids[a["category_id"]]} for a in annotations]
        for what, counted in (("left out", self._left_out), ("to be looked at", self._noticed)):
            if counted:
                lines = [f"{len(w)} {kind}: {_some(w)}" for kind, w in counted.items()]
                self.notes.append("\n  ".join([what, *lines]))
        return {
            "images": list(self._images.values()),
            "annotations": annotations,
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
        }

    def _class_of(self, label: str, where: str) -> int:
        if not label.strip():
            raise DataError(f"{where} has no label; give it one, or delete it")
        if label not in self._classes:
            if not self._is_open:
                raise DataError(
                    f"{where} has the label '{label}', which is none of the classes "
                    f"{', '.join(self._classes)}; fix the label, add it to CLASSES, or leave its "
                    f"objects out by IGNORE_CLASSES: [{label}]"
                )
            self._classes.append(label)
        return self._classes.index(label) + 1


def register_annotations(name: str, reader: AnnotationReader) -> Metadata:
    """Register a data set of objects that a reader reads. Nothing is read until it is used.

    Registering the same again changes nothing.
    """
    metadata = MetadataCatalog.get(name).set(evaluator_type="coco")
    if name not in DatasetCatalog:
        DatasetCatalog.register(name, lambda: open_annotations(reader, name))
    return metadata


def load_annotations(reader: AnnotationReader, dataset_name: str | None = None) -> list[dict]:
    """The records of a data set, as `load_coco_json` gives them.

    Args:
        dataset_name: its metadata gets ``thing_classes`` and what belongs to them.

    Raises:
        MissingFileError, DataError: see `AnnotationReader.read` and `load_coco_json`.
    """
    return list(open_annotations(reader, dataset_name))


def open_annotations(reader: AnnotationReader, dataset_name: str | None = None) -> ColumnRecords:
    """The records of `load_annotations`, each of which is made when it is asked for; the files are
    read once for all processes, see `cached_columns`."""
    files = reader.files()
    for file in files:
        if not file.exists():
            raise MissingFileError(f"no file {file}; {PATH_ADVICE}")
    told = [type(reader).__name__, repr(reader)]
    columns = cached_columns("annotations", files, told, _VERSION, lambda: _read(reader))
    facts = columns.facts
    Faults.of_json(facts["faults"]).report(facts["source"], facts["num_annotations"])
    return records_of(columns, facts["source"], dataset_name)


def _read(reader: AnnotationReader) -> Columns:
    with no_garbage_collection():
        content = reader.read()
        instances = parse_instances(content.finish(), content.source)
        instances.faults.notes += content.notes
        # The sizes of images are read from them.
        files = [(os.path.abspath(name), file_state(name)) for name in instances.file_names]
        return pack_instances(dataclasses.replace(instances, files=files))


class ImageFinder:
    """Finds images by the names that annotations have for them, which may be of another computer.

    Tried in this order below the folder: the name as it is, with slashes for backslashes and
    without percent signs, then its last parts, and at last the one image in any subfolder that has
    the file name.

    Args:
        folder: of the images.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise MissingFileError(f"no folder {folder} of images; {PATH_ADVICE}")
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, names: Sequence[str], where: str) -> Path:
        """The first image that there is.

        Args:
            names: the likeliest first; relative, or absolute on a computer that is not this one.
            where: what messages call the annotation.

        Raises:
            MissingFileError: there is none; DataError: several have the name.
        """
        for name in names:
            below = find_below(str(self.folder), name)
            path = self._anywhere(name, where) if below is None else Path(below)
            if path is not None:
                return path
        raise MissingFileError(
            f"{where} is of the image '{names[0]}', but there is none of that name in "
            f"{self.folder}; fix IMAGES, or copy the image there"
        )

    def _anywhere(self, name: str, where: str) -> Path | None:
        if self._by_name is None:
            self._by_name = {}
            for path in list_files(self.folder, IMAGE_SUFFIXES):
                self._by_name.setdefault(path.name, []).append(path)
        found = self._by_name.get(PurePosixPath(unquote(name).replace("\\", "/")).name, [])
        if len(found) > 1:
            raise DataError(
                f"{where} is of the image '{name}', but {found[0]} and {found[1]} are both called "
                "so; give the folder that the names start from as IMAGES"
            )
        return found[0] if found else None


def read_text_file(path: str | os.PathLike[str]) -> str:
    """The content of a text file in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        FileNotFoundError: as `open`; DataError: it is in another encoding.
    """
    content = Path(path).read_bytes()
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as e:
        raise DataError(f"{path} is not a text file in UTF-8: {e}. Save it in that") from None


def label_text(value: Any) -> str:
    """The label of an object as a text; that of None is empty, which is no class."""
    return "" if value is None else str(value)


def read_json_file(path: str | os.PathLike[str], what: str) -> Any:
    """The content of a JSON file.

    Args:
        what: the format that is expected, for messages.

    Raises:
        MissingFileError, FileAccessError, DataError: it is missing, not readable, not JSON.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"no file {path}; {PATH_ADVICE}") from None
    except OSError as e:
        raise FileAccessError(e.errno, f"{path} can't be read: {e.strerror}") from None
    try:
        return parse_json(content.decode("utf-8-sig"))
    except ValueError as e:
        raise DataError(
            f"{path} is not a JSON file, as {what} writes: {e}. Export it again"
        ) from None


def expect(value: Any, kind: type | tuple[type, ...], where: str, what: str) -> Any:
    """`value`, where it is of a type.

    Raises:
        DataError: it is of another; the message says that `where` should have `what`.
    """
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(
            f"{where}: {what} is {str(value)[:80]!r}; the file is damaged or no such "
            "export: export it again"
        )
    return value


def as_names(value: Any, key: str) -> tuple[str, ...] | None:
    """A list of names of a configuration; None as it is.

    Raises:
        ConfigError: it is something else.
    """
    if value is None:
        return None
    if isinstance(value, (str, Mapping)) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{key} is {value!r}; expected a list of names, such as [cat, dog]")
    return tuple(value)


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
