"""`save_weights`: weights alone, with the names of their classes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

from segsuite.errors import ConfigError, MissingPackageError
from segsuite.utils.files import atomic_file, atomic_path

from .convert import Classes


def save_weights(
    path: str | os.PathLike[str],
    weights: dict[str, torch.Tensor],
    classes: Classes,
    *,
    config: str = "",
) -> None:
    """Write `weights` to `path`, as safetensors or, with the suffix .pth, as PyTorch does.

    `load_state` reads both, with `classes` under "classes" and, if there is one, `config`, the text
    of the model's configuration, under "config", from which `segsuite.load` builds it.

    Raises:
        MissingPackageError: safetensors is not installed.
        ConfigError: another suffix.
    """
    path = Path(path)
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in weights.items()}
    if path.suffix == ".pth":
        with atomic_file(path, "wb") as file:
            text = {"config": config} if config else {}
            torch.save({"model": tensors, "classes": classes, **text}, file)
    elif path.suffix == ".safetensors":
        try:
            from safetensors.torch import save_file
        except ImportError as error:
            raise MissingPackageError(
                f"writing '{path}' needs the package safetensors: pip install safetensors"
            ) from error
        with atomic_path(path) as temporary:
            text = {"config": config} if config else {}
            save_file(tensors, temporary, {"classes": json.dumps(classes), **text})
    else:
        raise ConfigError(f"'{path}': weights are written as .pth or .safetensors")
