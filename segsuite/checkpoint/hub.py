"""``hf://OWNER/NAME[/FILE][@REVISION]``: weights of the Hugging Face hub."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from segsuite.errors import ConfigError, FileAccessError, MissingFileError, MissingPackageError

from .load_state import load_state
from .sharded import FILES, is_index, read_index

PREFIX = "hf://"
_ADDRESS = re.compile(
    r"hf://(?P<owner>[\w-][\w.-]*)/(?P<name>[\w-][\w.-]*)(/(?P<file>[^@]+?))?/?(@(?P<revision>[^@]+))?"
)


@dataclass(frozen=True)
class HubAddress:
    """A repository, one of its files ("": the weights by their usual names), and a branch, tag or
    commit (None: the main one)."""

    repository: str
    file: str = ""
    revision: str | None = None

    @classmethod
    def parse(cls, address: str) -> HubAddress:
        """Read an address.

        Raises:
            ConfigError: it is none.
        """
        match = _ADDRESS.fullmatch(address)
        if match is None:
            raise ConfigError(
                f"'{address}' is no address of the hub; it looks like hf://OWNER/NAME, "
                "hf://OWNER/NAME/FILE, each with @REVISION behind it or without"
            )
        repository = f"{match['owner']}/{match['name']}"
        return cls(repository, match["file"] or "", match["revision"])

    def local_path(self, file: str) -> Path | None:
        """Where `file` is kept, after a download if need be; None: the repository has none.

        Raises:
            MissingPackageError: huggingface_hub is not installed.
            FileAccessError: it is not kept, and can't be downloaded.
        """
        try:
            from huggingface_hub import hf_hub_download
            from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
        except ImportError as error:
            raise MissingPackageError(
                f"{PREFIX}{self.repository} needs the package huggingface_hub: "
                "pip install huggingface_hub"
            ) from error
        try:
            return Path(hf_hub_download(self.repository, file, revision=self.revision))
        except LocalEntryNotFoundError as error:  # of both kinds: no network
            raise FileAccessError(
                f"'{file}' is not kept on this machine: {_line(error)}"
            ) from error
        except EntryNotFoundError:
            return None
        except Exception as error:  # of the client, or the network
            raise FileAccessError(_line(error)) from error


def read_hub_weights(address: str, label: str) -> dict[str, Any]:
    """The weights at `address`: safetensors where there are, in shards or not.

    Raises:
        ConfigError: it is no address.
        MissingFileError: the repository has no such file, or none by the usual names.
        FileAccessError: it cannot be downloaded.
        MissingPackageError, WeightsError: as `load_state`.
    """
    place = HubAddress.parse(address)
    reasons = []
    for file in (place.file,) if place.file else FILES:
        try:
            path = place.local_path(file)
        except FileAccessError as error:
            reasons.append(str(error))
            continue
        if path is None:
            continue
        if is_index(file):
            return read_index(path, label, partial(_shard, place, file.rpartition("/")[0]))
        return load_state(path, origin=label)
    if reasons:
        raise FileAccessError(
            f"{label} cannot be downloaded: {reasons[0]}. Where there is no network, get the "
            f"repository on another machine (`hf download {place.repository}`), and name its "
            "folder or file here"
        )
    what = f"'{place.file}'" if place.file else f"none of {', '.join(FILES)}; name the file"
    raise MissingFileError(f"{label}: the repository has {'no ' if place.file else ''}{what}")


def read_hub_json(address: str, file: str) -> dict[str, Any]:
    """A small JSON file of the repository at `address`; empty if there is none, or no object."""
    place = HubAddress.parse(address)
    folder = place.file.rpartition("/")[0]
    try:
        path = place.local_path(f"{folder}/{file}" if folder else file)
    except (FileAccessError, MissingPackageError):
        return {}
    return read_json(path) if path is not None else {}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if it has none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _shard(place: HubAddress, folder: str, name: str) -> Path:
    path = place.local_path(f"{folder}/{name}" if folder else name)
    if path is None:
        raise MissingFileError(f"{PREFIX}{place.repository} lacks its shard '{name}'")
    return path


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
