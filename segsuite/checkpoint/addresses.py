"""Addresses of weights: ``https://``, ``hf://``, ``detectron2://``, ``torchvision://``, ``timm://``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from iopath.common.file_io import (
    HTTPURLHandler,
    PathHandler,
    PathManager,
    file_lock,
    get_cache_dir,
)

from segsuite.errors import (
    FileAccessError,
    MissingFileError,
    MissingPackageError,
    UnknownNameError,
    WeightsError,
)
from segsuite.utils.registry import closest

from . import hub
from .load_state import load_state
from .sharded import is_index, read_folder, read_index


class _Detectron2Handler(PathHandler):
    """Detectron2's model zoo, for short."""

    _PREFIX = "detectron2://"
    _ADDRESS = "https://dl.fbaipublicfiles.com/detectron2/"

    def _get_supported_prefixes(self) -> list[str]:
        return [self._PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        address = self._ADDRESS + path.removeprefix(self._PREFIX)
        return PATH_MANAGER.get_local_path(address, force, **kwargs)


# A plug-in may register handlers of further kinds of address.
PATH_MANAGER = PathManager()
PATH_MANAGER.register_handler(HTTPURLHandler())
PATH_MANAGER.register_handler(_Detectron2Handler())


def read_weights(address: str | os.PathLike[str], *, origin: str = "") -> dict[str, Any]:
    """The dict that `load_state` reads from a file or from what an address names.

    Downloads are kept, and of several processes that ask for one the first gets it while the others
    wait. ``https://`` and ``detectron2://`` are kept in iopath's cache (``$FVCORE_CACHE``),
    ``torchvision://NAME[:WEIGHTS]`` and ``timm://NAME`` in PyTorch's (``$TORCH_HOME``), and
    ``hf://OWNER/NAME[/FILE][@REVISION]`` in the Hugging Face hub's (``$HF_HOME``).

    A folder stands for the ``model.safetensors`` or ``pytorch_model.bin`` in it, and an index of
    shards (``model.safetensors.index.json``) for all of these.

    Raises:
        MissingFileError, MissingPackageError: as `load_state`.
        FileAccessError: the download fails; the message tells where to put the file instead.
        WeightsError: as `load_state`; or torchvision or timm has no such weights.
    """
    text = os.fspath(address)
    label = f"{origin}: '{text}'" if origin else f"'{text}'"
    if text.startswith(hub.PREFIX):
        return hub.read_hub_weights(text, label)
    if text.startswith("timm://"):
        return _from_timm(text.removeprefix("timm://"), label)
    if text.startswith("torchvision://"):
        path = _from_torchvision(text.removeprefix("torchvision://"), label)
    elif "://" in text:
        path = _download(text, label)
    elif Path(address).is_dir():
        return read_folder(Path(address), label)
    elif is_index(text):
        return read_index(Path(address), label)
    else:
        return load_state(address, origin=origin)
    try:
        return load_state(path)
    except WeightsError as error:
        raise WeightsError(
            f"{label}: {error}. That file is the copy that was kept: remove it to download it again"
        ) from error


def _download(address: str, label: str) -> Path:
    try:
        path = Path(PATH_MANAGER.get_local_path(address))
    except Exception as error:  # a handler raises what it likes
        url = address.replace(_Detectron2Handler._PREFIX, _Detectron2Handler._ADDRESS)
        kept = Path(get_cache_dir(), urlparse(url).path.lstrip("/"))
        where = f"'{kept}'" if url.startswith("http") else "a folder of this machine"
        raise FileAccessError(
            f"{label} cannot be downloaded: {error}. Where there is no network, get {url} "
            f"elsewhere and put it at {where}, or name a local file"
        ) from error
    if not path.is_file():
        raise MissingFileError(
            f"{label} names no file. Addresses begin with https://, hf://, detectron2://, "
            "torchvision://, timm:// or what a plug-in registers with PATH_MANAGER"
        )
    return path


def _from_torchvision(name: str, label: str) -> Path:
    """The file of "fcn_resnet50" or, where one of several is meant, "resnet50:IMAGENET1K_V2"."""
    import torchvision

    model, _, variant = name.partition(":")
    known = torchvision.models.list_models()
    if model not in known:
        match = closest(model, known)
        hint = f" Did you mean '{match}'?" if match else ""
        raise UnknownNameError(
            f"{label}: torchvision {torchvision.__version__} has no '{model}'.{hint}"
        )
    weights = torchvision.models.get_model_weights(model)
    if not len(weights):
        raise WeightsError(f"{label}: torchvision publishes no weights of '{model}'")
    if variant and variant not in weights.__members__:
        raise UnknownNameError(
            f"{label}: torchvision has no weights '{variant}' of '{model}'; it has "
            f"{', '.join(weights.__members__)}"
        )
    url = weights[variant or "DEFAULT"].url
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    path.parent.mkdir(parents=True, exist_ok=True)
    hash_prefix = path.stem.rpartition("-")[2]
    with file_lock(str(path)):
        if not path.exists():
            try:
                torch.hub.download_url_to_file(url, str(path), hash_prefix)
            except (OSError, RuntimeError) as error:
                raise FileAccessError(
                    f"{label} cannot be downloaded: {error}. Where there is no network, get {url} "
                    f"elsewhere and put it at '{path}'"
                ) from error
    return path


def _from_timm(name: str, label: str) -> dict[str, Any]:
    try:
        import timm
    except ImportError as error:
        raise MissingPackageError(f"{label} needs the package timm: pip install timm") from error
    if not timm.is_model(name):
        match = closest(name.partition(".")[0], timm.list_models())
        hint = f" Did you mean '{match}'?" if match else ""
        raise UnknownNameError(f"{label}: timm {timm.__version__} has no model '{name}'.{hint}")
    source = timm.get_pretrained_cfg(name)
    if source is None or not source.has_weights:
        raise WeightsError(f"{label}: timm publishes no weights of '{name}'")
    folder = Path(torch.hub.get_dir(), "checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(str(folder / f"timm-{name}")):
        try:
            # timm brings the names of older files up to date itself.
            return timm.create_model(name, pretrained=True).state_dict()
        except Exception as error:  # of timm, the hub's client, or the network
            raise FileAccessError(
                f"{label} cannot be downloaded: {error}. Where there is no network, get "
                f"{source.hf_hub_id or source.url} elsewhere (model.safetensors, if there are "
                "several) and name the local file instead"
            ) from error
