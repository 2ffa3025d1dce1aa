"""Label maps, and their pairs counted one after another."""

from __future__ import annotations

import numpy as np
import torch

INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32]
INTEGERS += [torch.int64, torch.uint64]


def count_with_numpy(pred, target, num_classes, ignore_index=255):
    """The matrix by unbuffered addition, pair after pair."""
    pred, target = pred.flatten().numpy(), target.flatten().numpy()
    counted = target.astype(object) != ignore_index if target.size else target == 0
    matrix = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    codes = [
        np.where((labels >= 0) & (labels < num_classes), labels, num_classes).astype(np.int64)
        for labels in (target[counted], pred[counted])
    ]
    np.add.at(matrix, tuple(codes), 1)
    return torch.from_numpy(matrix)
