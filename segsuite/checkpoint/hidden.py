"""Settings that neither names nor shapes of weights show: where a file's network has other ones
than the model, everything fits and the numbers are wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .convert.formats import Settings

# What a backbone's weights are used with is free: a dilation keeps its resolution, heads are new.
_FREE = ("_DILATION", "DILATE_FIRST_BLOCK", "RES5_MULTI_GRID", "DILATED", "PAD_BEFORE_SHIFT")
_BACKBONES = (
    "MODEL.BACKBONE.NAME",
    "MODEL.RESNETS.",
    "MODEL.MIT.",
    "MODEL.HRNET.",
    "MODEL.MOBILENET.",
    "MODEL.TIMM.",
)
_PIXELS = ("MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD", "INPUT.FORMAT")


def hidden_settings(model: nn.Module) -> Settings:
    """What the modules of `model` say that they compute with (see `Backbone.hidden_settings`), and
    the mean and deviation of its pixels."""
    settings: Settings = {}
    for module in model.modules():
        settings |= getattr(module, "hidden_settings", None) or {}
    for key, name in (("MODEL.PIXEL_MEAN", "pixel_mean"), ("MODEL.PIXEL_STD", "pixel_std")):
        pixels = getattr(model, name, None)
        if isinstance(pixels, torch.Tensor) and not pixels.is_meta:
            settings[key] = [round(value, 3) for value in pixels.flatten().tolist()]
    return settings


def hidden_differences(
    theirs: Settings, ours: Settings, *, backbone_only: bool
) -> list[tuple[str, str, str]]:
    """Rows (key, the file's value, the model's) of settings that both know and that differ.

    Args:
        backbone_only: no head is loaded.
    """
    return [
        (key, str(value), str(ours[key]))
        for key, value in theirs.items()
        if key in ours and not (backbone_only and _is_free(key)) and not _same(value, ours[key])
    ]


def _is_free(key: str) -> bool:
    return key.endswith(_FREE) or not key.startswith((*_BACKBONES, *_PIXELS))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        # Of images with other channels nothing is known.
        return len(a) != len(b) or all(map(_same, a, b))
    if isinstance(a, (Mapping, str, bool)):
        return a == b
    return math.isclose(a, b, rel_tol=5e-3)
