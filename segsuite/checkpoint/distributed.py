"""Checkpoints that all processes write, each its shards: folders of torch.distributed.checkpoint.

Beside its files there is `STATE`, sealed like every checkpoint of ours, with all that is not
sharded, and with the checksums of those files.
"""

from __future__ import annotations

import io
import math
import os
import pathlib
import pickle
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import filesystem, metadata
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner

from segsuite.errors import WeightsError
from segsuite.utils import comm
from segsuite.utils.sharded_tensors import sharded_paths

from .extent import max_bytes
from .load_state import load_state
from .sharded import STATE

_SHARDS, _CHECKSUMS = "shards", "checksums"
_METADATA = ".metadata"


def write_shards(folder: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Write the sharded tensors in `state` into an empty folder, with all processes.

    Returns:
        What ``state.pth`` has to hold, on the main process; empty on the others.

    Raises:
        OSError: a process can't write.
    """
    shards = dict(sharded_paths(state))
    names = {"/".join(map(str, path)): path for path in shards}
    tensors: dict[str, Any] = {name: shards[path] for name, path in names.items()}
    try:
        dcp.save(tensors, storage_writer=dcp.FileSystemWriter(folder))
    except dcp.api.CheckpointException as error:
        cause, _ = next(iter(error.failures.values()))
        raise cause if isinstance(cause, OSError) else error from None
    own = {path.name: checksum(path) for path in folder.glob(f"__{comm.get_rank()}_*")}
    gathered = comm.gather(own)
    if not comm.is_main_process():
        return {}
    checksums = {name: value for part in gathered for name, value in part.items()}
    checksums[_METADATA] = checksum(folder / _METADATA)
    paths = [list(path) for path in names.values()]
    return {**_without(state), _SHARDS: paths, _CHECKSUMS: checksums}


def read_shards(folder: Path) -> dict[str, Any]:
    """The state that a folder holds, all of it, on the CPU. Each process reads by itself.

    Raises:
        MissingFileError, WeightsError: it is not whole, is damaged, or names foreign classes.
    """
    state = load_state(folder / STATE)
    try:
        paths, checksums = state.pop(_SHARDS), state.pop(_CHECKSUMS)
    except KeyError:
        raise WeightsError(f"'{folder}' holds no sharded checkpoint") from None
    try:
        tensors = _read(_Files(folder, checksums))
        for path in paths:
            *parents, last = path
            parent: Any = state
            for key in parents:
                parent = parent[key]
            parent[last] = tensors["/".join(map(str, path))]
    except (OSError, WeightsError):
        raise
    except Exception as error:  # of many kinds, as of whatever parses a hostile file
        raise WeightsError(
            f"'{folder}' cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return state


def checksum(path: Path) -> int:
    """The CRC-32 of a file."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            value = zlib.crc32(block, value)
    return value


def _without(value: Any) -> Any:
    """A nest of dicts and lists with None in place of sharded tensors."""
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_without, value))
    return None if next(sharded_paths(value), None) else value


def _read(files: _Files) -> dict[str, torch.Tensor]:
    reader = _Reader(files)
    described = reader.read_metadata()
    reader.set_up_storage_reader(described, is_coordinator=True)
    tensors: dict[str, Any] = {}
    sizes = 0
    for name, tensor in described.state_dict_metadata.items():
        assert isinstance(
            tensor, metadata.TensorStorageMetadata
        )  # pickled objects are not admitted
        sizes += math.prod(tensor.size) * tensor.properties.dtype.itemsize
        if sizes > max_bytes(files.size()):
            raise WeightsError(f"{files.label(_METADATA)} has tensors far larger than the files")
        tensors[name] = torch.zeros(tensor.size, dtype=tensor.properties.dtype)
    planner = DefaultLoadPlanner()
    planner.set_up_planner(tensors, described, is_coordinator=True)
    # As dcp.load does, but without the other processes.
    plan = reader.prepare_local_plan(planner.create_local_plan())
    plans = reader.prepare_global_plan(planner.create_global_plan([plan]))
    reader.read_data(planner.finish_plan(plans[0]), planner).wait()
    return tensors


class _Files(filesystem.FileSystem):
    """The files of a folder, of which each has to match its checksum.

    Raises:
        WeightsError: one is missing, damaged or unknown.
    """

    def __init__(self, folder: Path, checksums: dict[str, int]):
        self.folder = folder
        self._checksums = checksums

    def label(self, name: str) -> str:
        return f"'{self.folder / name}'"

    def size(self) -> int:
        """Of all files, in bytes."""
        return sum((self.folder / name).stat().st_size for name in self._checksums)

    @contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Iterator[io.BytesIO]:
        name = Path(path).name
        if name not in self._checksums or Path(path) != self.folder / name:
            raise WeightsError(f"{self.label(name)} is not one of the checkpoint's files")
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            raise WeightsError(f"{self.label(name)} is missing") from None
        if zlib.crc32(content) != self._checksums[name]:
            raise WeightsError(
                f"{self.label(name)} cannot be loaded: its checksum does not match its content; it "
                "was cut short or damaged since it was written"
            )
        yield io.BytesIO(content)


class _Reader(dcp.FileSystemReader):
    """PyTorch's reader, but it looks at what it reads, and runs no code of the metadata."""

    def __init__(self, files: _Files):
        super().__init__(files.folder)
        self.fs = files
        self._label = files.label(_METADATA)

    def read_metadata(self, *args: Any, **kwargs: Any) -> metadata.Metadata:
        with self.fs.create_stream(Path(self.path, _METADATA), "rb") as file:
            try:
                return _Unpickler(file).load()
            except pickle.UnpicklingError as error:
                raise WeightsError(f"{self._label} cannot be loaded: {error}") from error


_ADMITTED: dict[tuple[str, str], Any] = {
    **{
        (metadata.__name__, name): getattr(metadata, name)
        for name in (
            "ChunkStorageMetadata",
            "Metadata",
            "MetadataIndex",
            "StorageMeta",
            "TensorProperties",
            "TensorStorageMetadata",
            "_MEM_FORMAT_ENCODING",
        )
    },
    (filesystem.__name__, "_StorageInfo"): filesystem._StorageInfo,
    ("torch.serialization", "_get_layout"): torch.serialization._get_layout,
    ("torch", "Size"): torch.Size,
    **{
        (module, name): pathlib.PurePath  # where the folder was, which nobody asks for
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "WindowsPath")
    },
}


# As of zoo pickles, the unpickler in Python: the one in C allocates what a damaged index says.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(
                f"it asks for '{module}.{name}', which could run code; nothing was run"
            )
        return _ADMITTED[module, name]
