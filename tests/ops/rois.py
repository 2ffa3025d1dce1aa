"""RoIs to test with."""

from __future__ import annotations

import torch
from torch import Tensor

# Inside a map, larger than it, and without area: (image, x1, y1, x2, y2).
FEW_ROIS = torch.tensor([[0.0, 1, 2, 9, 8], [1, -10, -10, 50, 50], [0, 3, 3, 3, 3]])


def random_rois(count: int, num_images: int, height: float, width: float) -> Tensor:
    """(count, 5) image, x1, y1, x2, y2: of all sizes, some over the edge, some beside the image."""
    image = torch.randint(0, num_images, (count, 1)).float()
    whole = torch.tensor([width, height])
    corner = (torch.rand(count, 2) * 1.6 - 0.4) * whole
    size = torch.rand(count, 1) ** 2 * torch.rand(count, 2) * 1.5 * whole
    return torch.cat([image, corner, corner + size], 1)
