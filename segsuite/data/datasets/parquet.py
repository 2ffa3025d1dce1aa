"""Parquet files as Hugging Face's ``datasets`` lays them out: a row an image.

A column has the images, as bytes or as paths; another has the objects of each, as COCO describes
them, or a label map. Since records name files, images are unpacked once into a folder. See
https://huggingface.co/docs/datasets/image_dataset and, for the features that stand in the schema,
https://huggingface.co/docs/datasets/about_dataset_features.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from segsuite.errors import ConfigError, DataError, MissingFileError, MissingPackageError
from segsuite.utils.files import atomic_path

from ..catalog import DatasetCatalog, Metadata, MetadataCatalog
from ..folders import list_files
from ..palette import default_colors
from ..sem_seg import IGNORE_LABEL
from .exchange import COCOContent, as_names, register_annotations
from .instance_maps import InstanceMap, add_maps
from .root import PATH_ADVICE, datasets_root

if TYPE_CHECKING:
    import pyarrow

BOXES = ("xywh", "xyxy")
_CATEGORY_KEYS = ("category", "category_id", "label", "labels", "categories")
_BATCH = 16
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WEBP": ".webp"}


@dataclass(frozen=True)
class ParquetReader:
    """See `register_parquet`."""

    location: str
    extract_to: str
    classes: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    image_column: str = "image"
    objects_column: str | None = "objects"
    label_column: str | None = None
    boxes: str = "xywh"

    def files(self) -> list[Path]:
        return parquet_files(self.location)

    def read(self) -> COCOContent:
        names = _class_names(self.files()[0], self.objects_column)
        content = COCOContent(self.location, self.classes, self.ignored, names or ())
        columns = [self.image_column, self.objects_column or self.label_column or ""]
        for row in read_rows(self.files(), columns):
            image = row.image(self.image_column, Path(self.extract_to, "images"))
            if self.objects_column is not None:
                image_id = content.add_image(image, None)
                self._add_objects(content, image_id, row, names or self.classes)
            else:
                labels = row.image(self.label_column or "", Path(self.extract_to, "labels"))
                only = (self.classes or ("object",))[0]
                add_maps(content, InstanceMap(image, ((labels, only),)), {}, set())
        return content

    def _add_objects(
        self, content: COCOContent, image_id: int, row: Row, names: Sequence[str] | None
    ) -> None:
        for number, entry in enumerate(_entries(row.values[self.objects_column or ""], row.where)):
            where = f"{row.where}, object {number} (from 0)"
            keys = ("bbox", "segmentation", "iscrowd")
            annotation = {k: v for k, v in entry.items() if k in keys}
            bbox = annotation.get("bbox")
            if self.boxes == "xyxy" and bbox is not None and len(bbox) == 4:
                x0, y0, x1, y1 = bbox
                annotation["bbox"] = [x0, y0, x1 - x0, y1 - y0]
            label = _label(entry, names, where)
            content.add_annotation(image_id, label, annotation, False, where)


def register_parquet(
    name: str,
    files: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    ignore_classes: Sequence[str] = (),
    image_column: str = "image",
    objects_column: str | None = None,
    label_column: str | None = None,
    boxes: str = "xywh",
    extract_to: str | os.PathLike[str] | None = None,
) -> Metadata:
    """Register Parquet files whose rows are images with objects.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        files: a file, a folder of them, or a pattern such as ``data/train-*.parquet``.
        classes: names of the classes, in the order of their numbers; None: those in the schema, or
            else the categories that occur, which then have to be texts.
        ignore_classes: names of classes whose objects are left out.
        image_column: of the images.
        objects_column: of the objects, lists or structs with ``bbox``, ``category`` and perhaps
            ``segmentation`` and ``iscrowd``; None: "objects", unless there is a `label_column`.
        label_column: of label maps with the number of an object in each pixel, 0 for none; all are
            of the first class.
        boxes: "xywh", COCO's, or "xyxy".
        extract_to: folder for the images; None: ``extracted/<name>`` among the data sets.

    Raises:
        ConfigError: both columns are given, or `boxes` is something else.
    """
    if objects_column is not None and label_column is not None:
        raise ConfigError(f"data set '{name}': OBJECTS_COLUMN and LABEL_COLUMN exclude each other")
    if boxes not in BOXES:
        raise ConfigError(f"data set '{name}': BOXES is {boxes!r}; expected {' or '.join(BOXES)}")
    reader = ParquetReader(
        os.fspath(files),
        str(_extract_to(name, extract_to)),
        as_names(classes, "CLASSES"),
        as_names(ignore_classes, "IGNORE_CLASSES") or (),
        image_column,
        None if label_column else objects_column or "objects",
        label_column,
        boxes,
    )
    return register_annotations(name, reader)


def register_parquet_sem_seg(
    name: str,
    files: str | os.PathLike[str],
    classes: Sequence[str],
    *,
    image_column: str = "image",
    label_column: str = "label",
    label_map: Mapping[int, int] | None = None,
    ignore_label: int = IGNORE_LABEL,
    extract_to: str | os.PathLike[str] | None = None,
) -> Metadata:
    """Register Parquet files whose rows are images with label maps of classes.

    Args:
        label_column: of the label maps.
        others: see `register_parquet` and `register_sem_seg_folder`.
    """
    names = as_names(classes, "CLASSES") or ()
    folder = _extract_to(name, extract_to)
    metadata = MetadataCatalog.get(name).set(
        stuff_classes=list(names),
        stuff_colors=default_colors(len(names)),
        ignore_label=ignore_label,
        label_map=label_map,
        evaluator_type="sem_seg",
    )

    def load() -> list[dict[str, Any]]:
        return [
            {
                "file_name": str(row.image(image_column, folder / "images")),
                "sem_seg_file_name": str(row.image(label_column, folder / "labels")),
                "image_id": number,
            }
            for number, row in enumerate(
                read_rows(parquet_files(files), (image_column, label_column)), 1
            )
        ]

    if name not in DatasetCatalog:
        DatasetCatalog.register(name, load)
    return metadata


@dataclass
class Row:
    """One row of a file.

    Attributes:
        file: the Parquet file.
        number: of the row in all files, from 0 on.
        values: by column.
        where: what messages call it.
    """

    file: Path
    number: int
    values: dict[str, Any]
    where: str

    def image(self, column: str, folder: Path) -> Path:
        """The file of an image: the one that is named, or its bytes, unpacked into a folder.

        Raises:
            MissingFileError, DataError: there is none.
        """
        value = self.values[column]
        stored = value if isinstance(value, dict) else {"bytes": value}
        content, path = stored.get("bytes"), stored.get("path")
        if isinstance(content, str):
            content, path = None, content
        if content is not None:
            return _unpack(content, folder, f"{self.number:08d}", f"{self.where}, '{column}'")
        if not isinstance(path, str):
            raise DataError(f"{self.where} has no image in '{column}'; leave the row out")
        for place in (self.file.parent / path, Path(path)):
            if place.is_file():
                return place
        raise MissingFileError(
            f"{self.where} names the image {path}, but there is no {self.file.parent / path}"
        )


def parquet_files(location: str | os.PathLike[str]) -> list[Path]:
    """A file, those of a folder, or those that a pattern fits, sorted.

    Raises:
        MissingFileError: there are none.
    """
    path = Path(location)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = list_files(path, (".parquet",))
    else:
        found = sorted(path.parent.glob(path.name)) if "*" in path.name else []
    if not found:
        raise MissingFileError(f"no Parquet file {location}; {PATH_ADVICE}")
    return found


def read_rows(files: Sequence[Path], columns: Sequence[str]) -> Iterator[Row]:
    """The rows of several files, a few of which are in memory at a time.

    Raises:
        DataError: a file is damaged, or lacks a column.
    """
    number = 0
    for file in files:
        table = _open(file)
        missing = [column for column in columns if column not in table.schema_arrow.names]
        if missing:
            raise DataError(
                f"{file} has no column '{missing[0]}'; it has "
                f"{', '.join(table.schema_arrow.names)}: name it as IMAGE_COLUMN, OBJECTS_COLUMN "
                "or LABEL_COLUMN"
            )
        for batch in table.iter_batches(_BATCH, columns=list(columns)):
            for values in batch.to_pylist():
                yield Row(file, number, values, f"{file}, row {number} (from 0)")
                number += 1


def _open(file: Path) -> pyarrow.parquet.ParquetFile:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingPackageError(
            "Parquet files need the package pyarrow: pip install 'segsuite-torch[parquet]'"
        ) from None
    try:
        return parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as e:
        raise DataError(f"{file} is no Parquet file: {e}. Download it again") from None


def _class_names(file: Path, column: str | None) -> list[str] | None:
    """The names of the classes of objects that the schema has; None where it has none."""
    schema = _open(file).schema_arrow
    described = (schema.metadata or {}).get(b"huggingface")
    if column is None or described is None:
        return None
    try:
        features = json.loads(described)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return None
    return _find_names(features.get(column) if isinstance(features, dict) else None)


def _find_names(feature: Any) -> list[str] | None:
    if isinstance(feature, dict):
        if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
            return [str(name) for name in feature["names"]]
        feature = list(feature.values())
    found = (_find_names(part) for part in feature) if isinstance(feature, list) else ()
    return next((names for names in found if names is not None), None)


def _entries(objects: Any, where: str) -> list[dict[str, Any]]:
    """The objects of a row, a list of structs or a struct of lists."""
    if objects is None:
        return []
    if isinstance(objects, dict):
        columns = {k: v for k, v in objects.items() if isinstance(v, list)}
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise DataError(f"{where}: the lists of its objects have the lengths {sorted(lengths)}")
        return [dict(zip(columns, v, strict=True)) for v in zip(*columns.values(), strict=True)]
    if isinstance(objects, list) and all(isinstance(entry, dict) for entry in objects):
        return objects
    raise DataError(f"{where}: its objects are {str(objects)[:60]}; expected structs")


def _label(entry: Mapping[str, Any], names: Sequence[str] | None, where: str) -> str:
    key = next((k for k in _CATEGORY_KEYS if k in entry), None)
    if key is None:
        raise DataError(
            f"{where} has no category; it has {', '.join(entry)}, expected one of "
            f"{', '.join(_CATEGORY_KEYS)}"
        )
    value = entry[key]
    if isinstance(value, str):
        return value
    if names is None:
        raise DataError(
            f"{where} has the {key} {value!r}, and the schema has no names of classes; give them "
            "as CLASSES, in the order of their numbers"
        )
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise DataError(f"{where} has the {key} {value!r}; there are 0 to {len(names) - 1}")
    return names[value]


def _unpack(content: bytes, folder: Path, stem: str, where: str) -> Path:
    try:
        with Image.open(io.BytesIO(content)) as image:
            suffix = _SUFFIXES.get(image.format or "", ".img")
    except (UnidentifiedImageError, OSError) as e:
        raise DataError(f"{where} is not an image that Pillow can read: {e}") from None
    file = folder / f"{stem}{suffix}"
    if not file.is_file() or file.read_bytes() != content:
        with atomic_path(file, sync=False) as temporary:
            temporary.write_bytes(content)
    return file


def _extract_to(name: str, folder: str | os.PathLike[str] | None) -> Path:
    return datasets_root() / "extracted" / name if folder is None else Path(folder)
