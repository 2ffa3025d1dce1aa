"""1x1 convolutions of features of several resolutions, as if they were upsampled and joined."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from .conv import Conv2d


def sum_of_upsampled_convs(
    features: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """1x1 convolutions, one for each feature, bilinearly upsampled to the first one's and summed.

    Args:
        features: (N, C_i, h_i, w_i) each; the first one has the size of the result.
        weights: (C_out, C_i) each.
        biases: (C_out,) each.

    Returns:
        (N, C_out, h_0, w_0).
    """
    size = features[0].shape[-2:]
    total = None
    for i, feature in enumerate(features):
        bias = None if biases is None else biases[i]
        x = F.conv2d(feature, weights[i][:, :, None, None], bias)
        if x.shape[-2:] != size:
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        total = x if total is None else total + x
    assert total is not None  # there is a first feature
    return total


def conv1x1_of_joined(features: Sequence[torch.Tensor], conv: Conv2d) -> torch.Tensor:
    """``conv(cat([upsample(f) for f in features]))`` for a 1x1 `conv`, without the large tensor.

    A 1x1 convolution may as well come before bilinear upsampling: both are linear, and the weights
    of an upsampled pixel sum to one. So each feature is convolved at its own resolution, with its
    own columns of the matrix, and only results are upsampled and summed: the same numbers to
    rounding for a fraction of the operations.

    Args:
        features: as for `sum_of_upsampled_convs`, with as many channels together as `conv` takes.
    """
    weights = conv.weight.flatten(1).split([f.shape[1] for f in features], dim=1)
    x = sum_of_upsampled_convs(features, weights)
    return conv.finish(x if conv.bias is None else x + conv.bias.view(-1, 1, 1))
