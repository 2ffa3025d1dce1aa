"""Weights in a folder: a sharded checkpoint of ours, or as Hugging Face's libraries write it, one
file, or several and an index."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segsuite.errors import MissingFileError, WeightsError

from .load_state import load_state

# What a sharded checkpoint of ours has beside its shards.
STATE = "state.pth"
# The better format first.
FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_INDEX = ".index.json"


def is_index(path: str) -> bool:
    """Whether `path` names an index of shards."""
    return path.endswith(_INDEX)


def read_folder(folder: Path, label: str) -> dict[str, Any]:
    """The weights in `folder`.

    Raises:
        MissingFileError: it has none by the usual names.
        WeightsError, MissingPackageError: as `load_state`.
    """
    if (folder / STATE).is_file():
        from .distributed import read_shards

        return read_shards(folder)
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        raise MissingFileError(
            f"{label} is a folder, not a file, and has none of {', '.join(FILES)}; name the file"
        )
    return read_index(path, label) if is_index(path.name) else load_state(path, origin=label)


def read_index(
    path: Path, label: str, locate: Callable[[str], Path] | None = None
) -> dict[str, Any]:
    """The weights of all shards that the index at `path` names.

    Args:
        locate: where the shard of a name is; by default beside the index.

    Raises:
        MissingFileError: index or a shard does not exist.
        WeightsError: it is no index, or a shard lacks what the index says is in it.
    """
    if not path.is_file():
        raise MissingFileError(f"{label} does not exist")
    try:
        places = json.loads(path.read_bytes())["weight_map"]
        shards = sorted({str(name) for name in places.values()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"{label} is no index of shards: a JSON object with a 'weight_map' of names and files "
            f"is expected ({type(error).__name__})"
        ) from error
    weights: dict[str, Any] = {}
    for shard in shards:
        if Path(shard).name != shard:
            raise WeightsError(f"{label} names the shard '{shard}', which is not a file beside it")
        weights |= load_state(locate(shard) if locate else path.parent / shard, origin=label)
    lacking = sorted(set(places) - set(weights))
    if lacking:
        raise WeightsError(
            f"{label} says that there is '{lacking[0]}', and {len(lacking)} in all, that its "
            "shards do not have; get them again"
        )
    return weights
