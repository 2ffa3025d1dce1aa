"""The pictures in a report: those of the run's folder, and nothing else that its files name."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from segsuite.errors import DataError

_MAX_BYTES = 64 << 20


def data_uri(folder: Path, name: Any, run_folder: Path) -> str:
    """A picture as an address that holds it.

    A report is made to be sent around, and of runs that others have made. What a run's JSON calls a
    picture could be any file of whoever writes the report, so it has to be one of the run's own.

    Args:
        folder: where the pictures are, in `run_folder`.
        name: of the file, as the run's JSON has it.

    Raises:
        DataError: the name leads out of the run's folder, by itself or over a link, or to what is
            no WebP picture.
    """
    if not isinstance(name, str) or Path(name).name != name or "\\" in name:
        raise DataError(_refusal(folder, name, "the name of a file in this folder is expected"))
    path = (folder / name).resolve()
    if not path.is_relative_to(run_folder.resolve()):
        raise DataError(_refusal(folder, name, f"it is a link out of the run's folder, to {path}"))
    if not path.is_file():
        raise DataError(_refusal(folder, name, "there is no such file; evaluate the run again"))
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(_refusal(folder, name, f"it is larger than {_MAX_BYTES >> 20} MiB"))
    content = path.read_bytes()
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        raise DataError(_refusal(folder, name, "it is no WebP picture"))
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"


def pixels(example: dict[str, Any], key: str) -> int:
    """An edge of an example, which becomes a part of a style attribute.

    Raises:
        DataError: it is no whole number.
    """
    value = example.get(key)
    if type(value) is not int or value < 1:
        raise DataError(
            f"the {key} of an example in {example['folder']} is {value!r}: expected its pixels"
        )
    return value


def _refusal(folder: Path, name: Any, why: str) -> str:
    return f"{folder} names the picture {name!r}, which is not taken into the report: {why}"
