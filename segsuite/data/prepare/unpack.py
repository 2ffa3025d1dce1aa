"""Archives with a progress bar."""

from __future__ import annotations

import os
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segsuite.errors import DataError

# Images do not compress again, and annotations to a tenth. The rest is for tiny archives.
_RATIO = 30
_ALWAYS = 1 << 30


def unpack(file: Path, folder: Path) -> None:
    """Unpack a tar or zip archive; nothing is written outside of `folder`.

    Raises:
        DataError: it is damaged, or would become very much larger than it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bar: dict[str, Any] = {"desc": f"unpacking {file.name}", "file": sys.stderr, "disable": None}
    try:
        if file.suffix == ".zip":
            with zipfile.ZipFile(file) as archive:
                _check_size(file, sum(member.file_size for member in archive.infolist()))
                for member in tqdm(archive.infolist(), **bar):
                    archive.extract(member, folder)
        else:
            with tarfile.open(file) as tar:
                unpacked = 0
                for entry in tqdm(tar, **bar):
                    unpacked += entry.size
                    _check_size(file, unpacked)
                    tar.extract(entry, folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as e:
        raise DataError(
            f"{file} ({os.path.getsize(file)} bytes) can't be unpacked: {e}. Download it again"
        ) from None


def _check_size(file: Path, unpacked: int) -> None:
    size = os.path.getsize(file)
    if unpacked > _RATIO * size + _ALWAYS:
        raise DataError(
            f"{file} ({size} bytes) can't be unpacked: it would become {unpacked / 1e9:.1f} GB or "
            "more, which no data set does. Download it again"
        )
