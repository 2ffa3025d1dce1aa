"""`load_state`: read a file of weights or training state without running any code in it."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import torch

from segsuite.errors import MissingFileError, MissingPackageError, WeightsError

from .extent import check_archive, check_extent
from .integrity import damage
from .zoo_pickle import read_zoo_pickle

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
# The pickled number with which torch.save began before its files were zip archives.
_LEGACY_TORCH = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_GIT_LFS = b"version https://git-lfs"


def load_state(path: str | os.PathLike[str], *, origin: str = "") -> dict[str, Any]:
    """The dict stored in `path`, which may be nested, its tensors on the CPU.

    Formats, told apart by content: `torch.save` (zip and legacy), safetensors, and pickled NumPy
    arrays as in Detectron2's model zoo. A file that asks for other classes is refused.

    Args:
        origin: the config key or option that named the file, for the messages.

    Raises:
        MissingFileError: there is no such file.
        WeightsError: it is empty, cut short, damaged, not a checkpoint, or names foreign classes.
        MissingPackageError: it needs a package that is not installed.
    """
    label = f"{origin}: '{path}'" if origin else f"'{path}'"
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        advice = "; download it and name the local file" if "://" in label else ""
        raise MissingFileError(f"{label} {what}{advice}")
    try:
        state = _read(path)
    except (OSError, ImportError):
        raise
    except Exception as error:  # whatever a damaged or hostile file leads its parser to
        raise WeightsError(f"{label} cannot be loaded: {_reason(error)}") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{label} holds a {type(state).__name__}; a dict of tensors is expected")
    return state


def _read(path: Path) -> Any:
    # The file is opened and read once: what is checked is what is used, and a checkpoint comes over
    # the network once.
    with path.open("rb") as file:
        state = _parse(path, file)
        check_extent(state, os.fstat(file.fileno()).st_size)
    return state


def _parse(path: Path, file: io.BufferedReader) -> Any:
    head = file.peek(512)[:512]
    if not head:
        raise WeightsError("the file is empty")
    if head.startswith(_ZIP):
        content = file.read()
        check_archive(content)
        if fault := damage(content):
            raise WeightsError(f"{fault}; it was cut short or damaged since it was written")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if head.startswith(_LEGACY_TORCH):
        return torch.load(file, map_location="cpu", weights_only=True)
    # The size of a JSON header, which the format limits to 100 MB, and the header.
    if int.from_bytes(head[:8], "little") <= 100_000_000 and head[8:9] == b"{":
        return _read_safetensors(path)
    if head.startswith(_GIT_LFS):
        raise WeightsError("it is a git-lfs pointer, not the file itself; run 'git lfs pull'")
    if head.lstrip().startswith(b"<"):
        raise WeightsError("it is a web page (HTML or XML), not weights; download the file again")
    if path.suffix == ".pkl" or head.startswith(_PICKLE):
        return read_zoo_pickle(file)
    raise WeightsError(
        f"it begins with {head[:16]!r}, which no torch, safetensors or pickle file does"
    )


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise MissingPackageError(
            f"reading '{path}' needs the package safetensors: pip install safetensors"
        ) from error
    with safe_open(path, framework="pt", device="cpu") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() or {}
    if "classes" not in metadata:
        return weights
    config = {"config": metadata["config"]} if "config" in metadata else {}
    return {"model": weights, "classes": json.loads(metadata["classes"]), **config}


def _reason(error: Exception) -> str:
    """What `error`, raised by a parser, means for the file."""
    text = str(error)
    if foreign := re.search(r"GLOBAL ([\w.]*\w)", text):
        return (
            f"it asks for '{foreign[1]}', which could run code; nothing was run. If you trust its "
            "source, save its tensors alone to a new file: torch.save({'model': {name: tensor}})"
        )
    if isinstance(error, WeightsError):
        return text
    detail = re.search(r"WeightsUnpickler error: *(.*)", text)
    first_line = detail[1] if detail else text.partition("\n")[0]
    return f"it is cut short, damaged or not a checkpoint ({type(error).__name__}: {first_line})"
