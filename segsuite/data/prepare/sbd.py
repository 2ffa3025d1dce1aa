"""SBD's MATLAB files as label maps, and the list of the augmented training set of VOC 2012."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from segsuite.errors import MissingPackageError
from segsuite.utils.files import atomic_path, write_text

from ..datasets.voc import LABEL_FOLDERS, voc_folder
from ..palette import voc_colors


def convert_sbd(root: Path) -> None:
    """Write ``SegmentationClassAug/*.png`` and ``ImageSets/Segmentation/trainaug.txt`` of VOC 2012.

    The list has VOC's training images and all of SBD's but those of VOC's ``val``, sorted.

    Args:
        root: the datasets folder, with VOC 2012 and ``benchmark_RELEASE``.

    Raises:
        ImportError: SciPy, which reads MATLAB files, is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise MissingPackageError("SBD's labels are MATLAB files: pip install scipy") from None
    sbd, voc = root / "benchmark_RELEASE" / "dataset", voc_folder(2012)
    lists = voc / "ImageSets" / "Segmentation"
    names = {
        name for split in ("train", "val") for name in (sbd / f"{split}.txt").read_text().split()
    }
    held_out = set((lists / "val.txt").read_text().split())
    output = voc / LABEL_FOLDERS[1]
    output.mkdir(exist_ok=True)
    palette = [value for color in voc_colors(256) for value in color]
    for name in tqdm(sorted(names - held_out), desc="SBD", file=sys.stderr, disable=None):
        path = output / f"{name}.png"
        if path.exists():
            continue
        labels = loadmat(sbd / "cls" / f"{name}.mat")["GTcls"]["Segmentation"][0, 0]
        image = Image.fromarray(labels.astype(np.uint8))
        image.putpalette(palette)
        with atomic_path(path) as temporary:
            image.save(temporary)
    names |= set((lists / "train.txt").read_text().split())
    trainaug = "".join(f"{name}\n" for name in sorted(names - held_out))
    write_text(lists / "trainaug.txt", trainaug)
