"""The architectures a configuration can name."""

from __future__ import annotations

import logging

import torch
from torch import nn

from segsuite.config import CfgNode
from segsuite.errors import ConfigError
from segsuite.utils.registry import Registry

# Callables (cfg) -> nn.Module that takes list[dict]; see `build_model`.
META_ARCH_REGISTRY = Registry("META_ARCH")


def build_model(cfg: CfgNode) -> nn.Module:
    """Build ``MODEL.META_ARCHITECTURE`` on ``MODEL.DEVICE``, without loading weights.

    The model takes a list of records as the data mapper makes them. In training it returns a dict
    of scalar losses, in evaluation one dict of predictions for each record.

    Raises:
        UnknownNameError: no architecture has that name.
        ConfigError: the device does not exist here, or MODEL.PIXEL_MEAN and MODEL.PIXEL_STD are not
            of one length.
    """
    channels, deviations = len(cfg.MODEL.PIXEL_MEAN), len(cfg.MODEL.PIXEL_STD)
    if channels != deviations:
        raise ConfigError(
            f"MODEL.PIXEL_MEAN has {channels} entries, one for each channel of the images, and "
            f"MODEL.PIXEL_STD {deviations}: give both as many as the images have channels"
        )
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    if not cfg.MODEL.WEIGHTS and _is_frozen_at_random(getattr(model, "backbone", None)):
        logging.getLogger(__name__).warning(
            "MODEL.BACKBONE.FREEZE_AT is %d, but MODEL.WEIGHTS is empty: unless a checkpoint is "
            "loaded, the frozen stages stay at their random weights. Set FREEZE_AT to 0 to train "
            "from scratch.",
            cfg.MODEL.BACKBONE.FREEZE_AT,
        )
    model.to(_device(cfg.MODEL.DEVICE))
    if cfg.MODEL.CHANNELS_LAST:
        model.to(memory_format=torch.channels_last)
    return model


def _is_frozen_at_random(backbone: nn.Module | None) -> bool:
    """Whether some of `backbone` is frozen that did not come with trained weights."""
    if backbone is None or any(getattr(m, "pretrained", False) for m in backbone.modules()):
        return False
    return any(not p.requires_grad for p in backbone.parameters())


def _device(name: str) -> torch.device:
    """The device called `name`; "auto" is the current CUDA device if there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as e:
        raise ConfigError(f"MODEL.DEVICE is '{name}'; use 'auto', 'cpu' or 'cuda'") from e
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"MODEL.DEVICE is '{name}', but PyTorch sees no CUDA device; set it to 'auto' or 'cpu'"
        )
    return device
