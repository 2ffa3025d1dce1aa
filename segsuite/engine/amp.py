"""The type that autocast computes in, as the configuration asks for it."""

from __future__ import annotations

import torch

from segsuite.config import CfgNode
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.utils.registry import unknown_name

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def amp_dtype(amp: CfgNode, key: str, device: torch.device) -> torch.dtype | None:
    """The type, or None where AMP is off.

    Args:
        amp: SOLVER.AMP or TEST.AMP, and `key`, that name.

    Raises:
        ConfigError: an unknown type, or one that the device can't compute in.
    """
    if not amp.ENABLED:
        return None
    name = amp.DTYPE
    if name == "auto":
        name = "float16" if device.type == "cuda" else "bfloat16"
    if name not in _DTYPES:
        raise UnknownNameError(unknown_name(name, [*_DTYPES, "auto"], f"types of {key}.DTYPE"))
    if name == "float16" and device.type == "cpu":
        raise ConfigError(f"{key}.DTYPE float16 needs a GPU; on the CPU use bfloat16 or auto")
    return _DTYPES[name]
