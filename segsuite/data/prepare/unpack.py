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


def unpack(file: Path, folder: Path) -> None:
    """Unpack a tar or zip archive; nothing is written outside of `folder`.

    Raises:
        DataError: it is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bar: dict[str, Any] = {"desc": f"unpacking {file.name}", "file": sys.stderr, "disable": None}
    try:
        if file.suffix == ".zip":
            with zipfile.ZipFile(file) as archive:
                for member in tqdm(archive.infolist(), **bar):
                    archive.extract(member, folder)
        else:
            with tarfile.open(file) as tar:
                for entry in tqdm(tar, **bar):
                    tar.extract(entry, folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as e:
        raise DataError(
            f"{file} ({os.path.getsize(file)} bytes) can't be unpacked: {e}. Download it again"
        ) from None
