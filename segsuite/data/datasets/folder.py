"""Semantic segmentation data sets that are a folder of images and a folder of label maps."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from segsuite.errors import ConfigError, DataError, MissingFileError

from ..catalog import DatasetCatalog, Metadata, MetadataCatalog, label_names
from ..folders import IMAGE_SUFFIXES, LABEL_SUFFIXES, list_files
from ..palette import default_colors
from ..sem_seg import IGNORE_LABEL
from .class_names import read_class_names, read_colors, read_integer, read_label_map
from .root import PATH_ADVICE

# Label maps in these are read to be refused: they change the values.
_LOSSY_SUFFIXES = (".jpg", ".jpeg", ".webp", ".jp2", ".avif")
_ENDINGS = (
    ". Where the names end differently, say how: IMAGE_SUFFIX and LABEL_SUFFIX in "
    "DATASETS.REGISTER, such as LABEL_SUFFIX: _mask.png"
)


class UnpairedFilesError(DataError):
    """Images without label maps or the reverse.

    Attributes:
        records: of what belongs together.
        images, label_maps: files that are alone.
    """

    def __init__(
        self, message: str, records: list[dict], images: list[str], label_maps: list[str]
    ) -> None:
        super().__init__(message, records, images, label_maps)  # all, so that it can be pickled
        self.records, self.images, self.label_maps = records, images, label_maps


def register_sem_seg_folder(
    name: str,
    images: str | os.PathLike,
    labels: str | os.PathLike,
    classes: Sequence[str] | Mapping[int, str],
    *,
    colors: Sequence[tuple[int, int, int]] | None = None,
    ignore_label: int = IGNORE_LABEL,
    label_map: Mapping[int, int] | None = None,
    image_suffix: str = "",
    label_suffix: str = "",
) -> Metadata:
    """Register a semantic segmentation data set in one call. Nothing is read until it is used.

    An image and a label map belong together when their paths inside the two folders are the same
    but for the endings. Registering the same again changes nothing.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        images: folder of images, subfolders included.
        labels: folder of label maps with a class id in each pixel, see `read_sem_seg`. It may be
            the same as `images`, where the suffixes tell the files apart.
        classes: class names, in the order of their ids, or by id. A single one has the id 1, and 0
            is background.
        colors: an RGB colour for each class, 0-255; a fixed palette by default.
        ignore_label: the label of pixels that belong to no class, after `label_map`.
        label_map: stored value -> class id or `ignore_label`; other values are then errors.
        image_suffix, label_suffix: what the files' names end in ("_leftImg8bit.png"); by
            default any usual image ending.

    Raises:
        ConfigError: the arguments contradict each other or an earlier registration.
    """
    classes = read_class_names(classes, f"data set '{name}': CLASSES")
    ignore_label = read_integer(ignore_label, f"data set '{name}': IGNORE_LABEL")
    if colors is None:
        colors = default_colors(len(classes))
    else:
        colors = read_colors(colors, len(classes), f"data set '{name}': COLORS")
    if label_map is not None:
        label_map = read_label_map(label_map, f"data set '{name}': LABEL_MAP")
        known = range(len(label_names(classes)))
        outside = [v for v in label_map.values() if v not in (*known, ignore_label)]
        if outside:
            raise ConfigError(
                f"data set '{name}': label_map leads to {outside[0]}; expected a class id, "
                f"0 to {known[-1]}, or the ignore_label {ignore_label}"
            )
    metadata = MetadataCatalog.get(name).set(
        stuff_classes=classes,
        stuff_colors=colors,
        ignore_label=ignore_label,
        label_map=label_map,
        image_root=os.fspath(images),
        sem_seg_root=os.fspath(labels),
        evaluator_type="sem_seg",
    )
    if name not in DatasetCatalog:
        DatasetCatalog.register(
            name, lambda: load_sem_seg_folder(images, labels, image_suffix, label_suffix)
        )
    return metadata


def load_sem_seg_folder(
    images: str | os.PathLike,
    labels: str | os.PathLike,
    image_suffix: str = "",
    label_suffix: str = "",
) -> list[dict]:
    """Pair the images and label maps of two folders, or of one; see `register_sem_seg_folder`.

    Hidden files are left out, and links to folders are followed once, see `list_files`.

    Returns:
        Records with ``file_name``, ``sem_seg_file_name`` and ``image_id`` (the path inside the
        folder without its ending), sorted by ``image_id``.

    Raises:
        MissingFileError: a folder is missing or has no images.
        UnpairedFilesError: an image without label map, or a label map without image.
        DataError: two files of the same stem, or files of one folder that may be either.
    """
    image_paths = _matching(Path(images), image_suffix, IMAGE_SUFFIXES, "images")
    label_paths = _matching(Path(labels), label_suffix, LABEL_SUFFIXES, "label maps")
    _tell_apart(image_paths, label_paths, images, labels, image_suffix, label_suffix)
    image_files = _by_stem(Path(images), image_paths, "images", image_suffix or IMAGE_SUFFIXES)
    if not label_suffix:
        lossy = _matching(Path(labels), "", _LOSSY_SUFFIXES, "label maps")
        stems = {_stem(Path(labels), path, ending) for path, ending in label_paths.items()}
        label_paths |= {
            path: ending
            for path, ending in lossy.items()
            if (stem := _stem(Path(labels), path, ending)) in image_files
            and stem not in stems
            and path not in image_paths
        }
    label_files = _by_stem(Path(labels), label_paths, "label maps", label_suffix or LABEL_SUFFIXES)
    unlabelled = sorted(image_files.keys() - label_files.keys())
    unused = sorted(label_files.keys() - image_files.keys())
    records = [
        {
            "file_name": str(image_files[stem]),
            "sem_seg_file_name": str(label_files[stem]),
            "image_id": stem,
        }
        for stem in sorted(image_files.keys() & label_files.keys())
    ]
    if not unlabelled and not unused:
        return records
    if unlabelled:
        message = (
            f"{_count(unlabelled, 'image')} in {images} without a label map in {labels}: "
            f"{_some(image_files[k] for k in unlabelled)}. Expected a label map of the same name, "
            f"such as {Path(labels) / unlabelled[0]}{label_suffix or '.png'}{_ENDINGS}"
        )
    else:
        message = (
            f"{_count(unused, 'label map')} in {labels} without an image in {images}: "
            f"{_some(label_files[k] for k in unused)}. Expected an image of the same name, "
            f"such as {Path(images) / unused[0]}{image_suffix or '.jpg'}{_ENDINGS}"
        )
    raise UnpairedFilesError(
        message,
        records,
        [str(image_files[k]) for k in unlabelled],
        [str(label_files[k]) for k in unused],
    )


def files_by_stem(
    folder: Path, suffix: str, default_suffixes: tuple[str, ...], kind: str
) -> dict[str, Path]:
    """Map each file's path inside `folder`, without its ending, to the file."""
    paths = _matching(folder, suffix, default_suffixes, kind)
    return _by_stem(folder, paths, kind, suffix or default_suffixes)


def _matching(
    folder: Path, suffix: str, default_suffixes: tuple[str, ...], kind: str
) -> dict[Path, str]:
    """The files of a folder that end in `suffix` or one of the defaults, with that ending."""
    if not folder.is_dir():
        raise MissingFileError(f"no folder {folder} of {kind}; {PATH_ADVICE}")
    suffixes = (suffix,) if suffix else default_suffixes
    return {
        path: max((s for s in suffixes if path.name.lower().endswith(s.lower())), key=len)
        for path in list_files(folder, suffixes)
    }


def _tell_apart(
    image_paths: dict[Path, str],
    label_paths: dict[Path, str],
    images: str | os.PathLike,
    labels: str | os.PathLike,
    image_suffix: str,
    label_suffix: str,
) -> None:
    """Leave each file in one of the two, where images and label maps share a folder.

    The longer suffix decides, since ``.png`` fits ``0_mask.png`` as well; where none is given, the
    inner folder.

    Raises:
        DataError: nothing decides.
    """
    by_place = {os.path.abspath(path): path for path in label_paths}
    shared = [(path, by_place.get(os.path.abspath(path))) for path in image_paths]
    images_at, labels_at = Path(os.path.abspath(images)), Path(os.path.abspath(labels))
    for image, label in shared:
        if label is None:
            continue
        of_image = len(image_paths[image]) if image_suffix else 0
        of_label = len(label_paths[label]) if label_suffix else 0
        if of_image == of_label:
            # The inner of two folders is there for its own.
            of_image, of_label = labels_at in images_at.parents, images_at in labels_at.parents
        if of_image == of_label:
            raise DataError(
                f"{image} may be an image or a label map: both are in {images}. Say how the names "
                "end: IMAGE_SUFFIX and LABEL_SUFFIX in DATASETS.REGISTER, such as IMAGE_SUFFIX: "
                ".jpg and LABEL_SUFFIX: .png, or LABEL_SUFFIX: _mask.png"
            )
        if of_image > of_label:
            del label_paths[label]
        else:
            del image_paths[image]


def _by_stem(
    folder: Path, paths: Mapping[Path, str], kind: str, suffixes: str | tuple[str, ...]
) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path, ending in paths.items():
        stem = _stem(folder, path, ending)
        if stem in files:
            raise DataError(
                f"{files[stem]} and {path} have the same name but for the ending, so that it "
                f"is open which one to pair; remove one, or name the ending of the {kind} "
                "by IMAGE_SUFFIX or LABEL_SUFFIX in DATASETS.REGISTER"
            )
        files[stem] = path
    if not files:
        expected = suffixes if isinstance(suffixes, str) else " ".join(suffixes)
        raise MissingFileError(
            f"no {kind} in {folder}: expected files that end in {expected}{_ENDINGS}"
        )
    return files


def _stem(folder: Path, path: Path, ending: str) -> str:
    """A file's path inside a folder without its ending, accents in the one way to write them:
    macOS writes them in another than other systems."""
    inside = path.relative_to(folder).as_posix()
    return unicodedata.normalize("NFC", inside[: -len(ending)])


def _count(names: list[str], kind: str) -> str:
    return f"{len(names)} {kind}{'s' if len(names) > 1 else ''}"


def _some(paths: Iterable[str | os.PathLike]) -> str:
    """The first three paths."""
    names = [str(p) for p in paths]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
