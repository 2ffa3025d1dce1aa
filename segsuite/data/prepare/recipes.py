"""What each published data set consists of, and how it is laid out."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from segsuite.errors import DataError, MissingFileError, UnknownNameError
from segsuite.utils.registry import unknown_name

from ..datasets.coco_sem_seg import (
    PANOPTIC_NAMES,
    THING_NAMES,
    instances_to_sem_seg,
    panoptic_to_sem_seg,
)
from ..datasets.root import datasets_root
from .camvid import convert_camvid
from .download import check_file, download
from .sbd import convert_sbd
from .unpack import unpack

logger = logging.getLogger(__name__)

DOWNLOADS = "downloads"
_VOC = "http://host.robots.ox.ac.uk/pascal/VOC"
_COCO = "http://images.cocodataset.org"


@dataclass(frozen=True)
class Archive:
    """A published file.

    Attributes:
        name: of the file.
        url: the folder that it is in; empty where one must register first.
        checksum: see `check_file`.
        folder: where it is unpacked, under the datasets folder.
        makes: what is there afterwards.
    """

    name: str
    url: str
    checksum: str
    folder: str
    makes: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """How a data set is prepared.

    Attributes:
        datasets: registered data sets that can be read afterwards.
        archives: what is unpacked.
        convert: what is done then, with the datasets folder.
        terms: what the user must do, where files can't be downloaded by anyone.
    """

    datasets: tuple[str, ...]
    archives: tuple[Archive, ...]
    convert: Callable[[Path], None] | None = None
    terms: str = ""


def _write_all(writers: Iterable) -> None:
    for writer in writers:
        for _ in tqdm(writer, desc="label maps", file=sys.stderr, disable=None):
            pass


def _convert_things(root: Path) -> None:
    _write_all(
        instances_to_sem_seg(
            root / f"coco/annotations/instances_{split}2017.json",
            root / f"coco/sem_seg_things/{split}2017",
            THING_NAMES,
        )
        for split in ("train", "val")
    )


def _convert_panoptic(root: Path) -> None:
    annotations = root / "coco" / "annotations"
    for split in ("train", "val"):
        if not (annotations / f"panoptic_{split}2017").is_dir():
            unpack(annotations / f"panoptic_{split}2017.zip", annotations)
    _write_all(
        panoptic_to_sem_seg(
            annotations / f"panoptic_{split}2017.json",
            root / f"coco/sem_seg_panoptic/{split}2017",
            PANOPTIC_NAMES,
        )
        for split in ("train", "val")
    )


_VOC_2012 = Archive(
    "VOCtrainval_11-May-2012.tar",
    f"{_VOC}/voc2012",
    "md5:6cd6e144f989b92b3379bac3b3de84fd",
    ".",
    ("VOCdevkit/VOC2012/SegmentationClass",),
)
_COCO_IMAGES = (
    Archive(
        "train2017.zip",
        f"{_COCO}/zips",
        "md5:cced6f7f71b7629ddf16f17bbcfab6b2",
        "coco",
        ("coco/train2017",),
    ),
    Archive(
        "val2017.zip",
        f"{_COCO}/zips",
        "md5:442b8da7639aecaf257c1dceb8ba8c80",
        "coco",
        ("coco/val2017",),
    ),
)

RECIPES = {
    "camvid": Recipe(("camvid_train", "camvid_val"), (), convert_camvid),
    "voc_2007": Recipe(
        ("voc_2007_sem_seg_trainval", "voc_2007_sem_seg_test"),
        (
            Archive(
                "VOCtrainval_06-Nov-2007.tar",
                f"{_VOC}/voc2007",
                "md5:c52e279531787c972589f7e41ab4ae64",
                ".",
                ("VOCdevkit/VOC2007/ImageSets/Segmentation/trainval.txt",),
            ),
            Archive(
                "VOCtest_06-Nov-2007.tar",
                f"{_VOC}/voc2007",
                "md5:b6e924de25625d8de591ea690078ad9f",
                ".",
                ("VOCdevkit/VOC2007/ImageSets/Segmentation/test.txt",),
            ),
        ),
    ),
    "voc_2012": Recipe(("voc_2012_sem_seg_train", "voc_2012_sem_seg_val"), (_VOC_2012,)),
    "voc_2012_aug": Recipe(
        ("voc_2012_sem_seg_trainaug", "voc_2012_sem_seg_val"),
        (
            _VOC_2012,
            Archive(
                "benchmark.tgz",
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
                "semantic_contours",
                "md5:82b4d87ceb2ed10f6038a1cba92111cb",
                ".",
                ("benchmark_RELEASE/dataset",),
            ),
        ),
        convert_sbd,
    ),
    "cityscapes": Recipe(
        ("cityscapes_fine_sem_seg_train", "cityscapes_fine_sem_seg_val"),
        (
            Archive(
                "leftImg8bit_trainvaltest.zip", "", "", "cityscapes", ("cityscapes/leftImg8bit",)
            ),
            Archive("gtFine_trainvaltest.zip", "", "", "cityscapes", ("cityscapes/gtFine",)),
        ),
        terms="register at https://www.cityscapes-dataset.com and download it there",
    ),
    "ade20k": Recipe(
        ("ade20k_sem_seg_train", "ade20k_sem_seg_val"),
        (
            Archive(
                "ADEChallengeData2016.zip",
                "http://data.csail.mit.edu/places/ADEchallenge",
                "sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
                ".",
                ("ADEChallengeData2016/images", "ADEChallengeData2016/annotations"),
            ),
        ),
    ),
    "coco_stuff": Recipe(
        ("coco_stuff_sem_seg_train", "coco_stuff_sem_seg_val"),
        (
            *_COCO_IMAGES,
            Archive(
                "stuffthingmaps_trainval2017.zip",
                "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset",
                "",
                "coco/stuffthingmaps",
                ("coco/stuffthingmaps/train2017", "coco/stuffthingmaps/val2017"),
            ),
        ),
    ),
    "coco_things": Recipe(
        ("coco_things_sem_seg_train", "coco_things_sem_seg_val"),
        (
            *_COCO_IMAGES,
            Archive(
                "annotations_trainval2017.zip",
                f"{_COCO}/annotations",
                "md5:f4bbac642086de4f52a3fdda2de5fa2c",
                "coco",
                ("coco/annotations/instances_val2017.json",),
            ),
        ),
        _convert_things,
    ),
    "coco_panoptic": Recipe(
        ("coco_panoptic_sem_seg_train", "coco_panoptic_sem_seg_val"),
        (
            *_COCO_IMAGES,
            Archive(
                "panoptic_annotations_trainval2017.zip",
                f"{_COCO}/annotations",
                "",
                "coco",
                ("coco/annotations/panoptic_val2017.json",),
            ),
        ),
        _convert_panoptic,
    ),
}


def prepare_dataset(
    name: str, *, mirror: str = "", allow_download: bool = True, check: bool = True
) -> tuple[str, ...]:
    """Lay out a published data set under the datasets folder.

    What is there is left alone. An archive is looked for in the datasets folder and in its
    ``downloads``, and else downloaded to the latter. Doing it again after an interruption goes on.

    Args:
        name: a key of `RECIPES`.
        mirror: address of a folder that has the archives, instead of where they are published.
        allow_download: False: only what is there is used.
        check: whether archives are compared with their checksums.

    Returns:
        The registered data sets that can be read now.

    Raises:
        UnknownNameError: there is no recipe of that name.
        MissingFileError: an archive is neither there nor can it be downloaded.
        FileAccessError, DataError: see `download` and `check_file`; or it is damaged.
    """
    if name not in RECIPES:
        raise UnknownNameError(unknown_name(name, RECIPES, "data sets that can be prepared"))
    recipe, root = RECIPES[name], datasets_root()
    for archive in recipe.archives:
        file = next(
            (f for f in (root / archive.name, root / DOWNLOADS / archive.name) if f.exists()), None
        )
        unpacked = root / DOWNLOADS / f"{archive.name}.unpacked"
        is_there = all((root / made).exists() for made in archive.makes)
        if is_there and (file is None or unpacked.exists()):
            logger.info("%s is there", ", ".join(archive.makes))
            continue
        checksum = archive.checksum if check else ""
        if file is not None:
            check_file(file, checksum)
        else:
            url = mirror or archive.url
            if not url or not allow_download:
                how = recipe.terms or f"download {archive.url}/{archive.name}"
                raise MissingFileError(
                    f"no {archive.name} in {root} or {root / DOWNLOADS}: {how}, and put it there "
                    f"(or unpack it to {root / archive.folder} yourself)"
                )
            file = root / DOWNLOADS / archive.name
            download(f"{url.rstrip('/')}/{archive.name}", file, checksum)
        unpack(file, root / archive.folder)
        missing = [made for made in archive.makes if not (root / made).exists()]
        if missing:
            raise DataError(
                f"{file} has been unpacked to {root / archive.folder}, but there is no "
                f"{root / missing[0]}: it is not the archive that was expected"
            )
        unpacked.parent.mkdir(parents=True, exist_ok=True)
        unpacked.touch()
    if recipe.convert is not None:
        recipe.convert(root)
    return recipe.datasets
