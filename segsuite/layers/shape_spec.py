"""`ShapeSpec`: what a module promises about a feature map before it has seen an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShapeSpec:
    """Channels and stride of a feature map.

    An image of (H, W) pixels has a map of (ceil(H / stride), ceil(W / stride)) at any size.
    """

    channels: int
    stride: int = 1
