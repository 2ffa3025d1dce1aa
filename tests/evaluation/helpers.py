"""A model that predicts what its records say, and records to predict."""

from __future__ import annotations

import torch
from torch import nn

from segsuite.structures import SemSegLogits


class Oracle(nn.Module):
    """Returns each record's ``logits``."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        return [
            {
                "sem_seg": SemSegLogits(
                    r["logits"].to(self.weight.device), r["source_size"], (r["height"], r["width"])
                )
            }
            for r in inputs
        ]


def make_record(image_id, num_classes, size=(24, 31), stride=4):
    """A record with logits at a fraction of the resolution, padded, and a ground truth."""
    generator = torch.Generator().manual_seed(image_id)
    height, width = size
    h, w = -(-height // stride) + 1, -(-width // stride) + 2
    target = torch.randint(0, num_classes + 1, size, generator=generator)
    target[target == num_classes] = 255
    return {
        "image_id": image_id,
        "file_name": f"{image_id}.jpg",
        "sem_seg_file_name": f"{image_id}.png",
        "height": height,
        "width": width,
        "sem_seg_gt": target.to(torch.uint8),
        "logits": torch.randn(num_classes, h, w, generator=generator),
        "source_size": (height / stride, width / stride),
    }
