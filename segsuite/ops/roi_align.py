"""RoIAlign: the pooling of regions of interest from feature maps, of one size or of a pyramid.

A RoI is cut into bins, a bin's value is the mean of bilinearly interpolated samples on a grid
within it (He et al., "Mask R-CNN", section 3). Results and gradients are those of
`torchvision.ops.roi_align` and Detectron2's ROIAlign (``aligned=False``) and ROIAlignV2. Only the
default of `aligned` is another than torchvision's: True here, as in Detectron2.

Feature maps may be float32, float64, float16 or bfloat16; samples are weighted and summed in
float32 (float64 for float64 maps) and the result has the maps' type, under autocast too. It has
the memory format of the map, or of the first one. The gradient flows to the maps, not to the RoIs.

Results and gradients are always the same for the same input, on the CPU for any number of threads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segsuite.ops._library import EXTENSION_LOADED, has_kernels
from segsuite.ops.bilinear import neighbours
from segsuite.ops.rois import as_rois, check_features, check_rois

_MAX_SIZE = 4096  # of the output, and of the sampling ratio


def roi_align(
    input: Tensor,
    rois: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
) -> Tensor:
    """Pool RoIs from a feature map.

    Args:
        input: (N, C, H, W) floating point, of any strides.
        rois: (R, 5) floating point: image 0 .. N - 1, then x1, y1, x2, y2 with x1 <= x2 and
            y1 <= y2, in units that `spatial_scale` brings to pixels of the map. Parts outside of
            the map by more than a pixel count as zeros. Or a list with the (M_i, 4) boxes x1, y1,
            x2, y2 of each image.
        output_size: the bins (PH, PW) of a RoI; one number for both.
        spatial_scale: 1 / stride of the map for RoIs in pixels of the image.
        sampling_ratio: samples along each side of a bin; 0 takes ceil(side of the bin in pixels).
        aligned: the centre of the first pixel is at 0.5; otherwise at 0, and RoIs are at least one
            pixel wide and high. torchvision's default is False: pass it where a model was trained
            with that.

    Returns:
        (R, C, PH, PW) of the map's type, R counted over the images in their order.

    Raises:
        ValueError: shapes, types, devices or sizes do not fit; on the CPU also a RoI of an image
            that is not there, of negative size or not finite. (On CUDA, where a look at the values
            would wait for the device, and in compiled code such a RoI is pooled as NaN and has no
            gradient.)
    """
    rois = as_rois(rois, input)
    check_features([input], rois)
    pooled_height, pooled_width = _check_sizes(output_size, [spatial_scale], sampling_ratio)
    rois = rois.detach().to(_sum_type(input))
    if not has_kernels(input.device):
        return _reference(
            [input],
            rois,
            (pooled_height, pooled_width),
            [spatial_scale],
            sampling_ratio,
            aligned,
            1,
            0,
        )
    return _call(
        torch.ops.segsuite.roi_align,
        *(input, rois, pooled_height, pooled_width, spatial_scale, sampling_ratio, aligned),
    )


class RoIAlign(nn.Module):
    """`roi_align` with its options given once, called as ``RoIAlign(...)(input, rois)``.

    Torchvision's module and Detectron2's `ROIAlign` take the same arguments in the same order;
    torchvision's has ``aligned=False`` by default.

    Args:
        output_size, spatial_scale, sampling_ratio, aligned: see `roi_align`.
    """

    def __init__(
        self,
        output_size: int | tuple[int, int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool = True,
    ):
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        """(N, C, H, W) and RoIs -> (R, C, PH, PW); see `roi_align`."""
        return roi_align(
            input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned
        )

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"
        )


def multilevel_roi_align(
    features: Sequence[Tensor],
    rois: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, int],
    spatial_scales: Sequence[float],
    sampling_ratio: int = 0,
    aligned: bool = True,
    canonical_box_size: int = 224,
    canonical_level: int = 4,
) -> Tensor:
    """Pool each RoI from the level of a feature pyramid that fits its size.

    A RoI of width w and height h is pooled from the level of stride 2^k with ``k = floor(
    canonical_level + log2(sqrt(w * h) / canonical_box_size))``, or else the nearest there is (Lin
    et al., "Feature Pyramid Networks for Object Detection", equation 1).

    Args:
        features: (N, C, H_i, W_i) each, finest first, of one type.
        rois: (R, 5), or boxes of each image, see `roi_align`, in pixels of the image.
        spatial_scales: 1 / stride of each level: powers of two, each half of the one before.
        output_size, sampling_ratio, aligned: see `roi_align`.
        canonical_box_size: in pixels of the image.

    Returns:
        (R, C, PH, PW) in the order of the RoIs, of the maps' type.

    Raises:
        ValueError: as `roi_align`; the levels do not fit each other.
    """
    features, scales = list(features), [float(scale) for scale in spatial_scales]
    if not features:
        raise ValueError("features is empty; expected at least one level")
    rois = as_rois(rois, features[0])
    check_features(features, rois)
    pooled_height, pooled_width = _check_sizes(output_size, scales, sampling_ratio)
    _check_levels(features, scales, canonical_box_size)
    rois = rois.detach().to(_sum_type(features[0]))
    if not has_kernels(rois.device):
        return _reference(
            features,
            rois,
            (pooled_height, pooled_width),
            scales,
            sampling_ratio,
            aligned,
            canonical_box_size,
            canonical_level,
        )
    return _call(
        torch.ops.segsuite.multilevel_roi_align,
        *(features, rois, pooled_height, pooled_width, scales, sampling_ratio, aligned),
        *(canonical_box_size, canonical_level),
    )


def assign_levels(
    rois: Tensor, spatial_scales: Sequence[float], canonical_box_size: int, canonical_level: int
) -> Tensor:
    """(R,) int64: the place among the levels at which `multilevel_roi_align` pools each RoI."""
    finest = round(-math.log2(spatial_scales[0]))
    size = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt() / canonical_box_size
    level = torch.floor(canonical_level + torch.log2(size + 1e-8))
    return (level - finest).clamp(0, len(spatial_scales) - 1).long()


def _sum_type(features: Tensor) -> torch.dtype:
    return torch.float64 if features.dtype == torch.float64 else torch.float32


def _is_channels_last(x: Tensor) -> bool:
    return not x.is_contiguous() and x.shape[1] > 1 and x.stride(1) == 1


def _memory_format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def _call(op: Callable, features: Tensor | list[Tensor], rois: Tensor, *args: Any) -> Tensor:
    """Call a kernel, which pools RoIs that it cannot use as NaN. On the CPU they are refused."""
    # A plain tensor has values to look at, those of tracers have none.
    if rois.device.type == "cpu" and type(rois) is Tensor and not torch.compiler.is_compiling():
        check_rois(rois, features.shape[0] if isinstance(features, Tensor) else len(features[0]))
    return op(features, rois, *args)


# Checks


def _check_sizes(
    output_size: int | tuple[int, int], scales: list[float], sampling_ratio: int
) -> tuple[int, int]:
    size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    if len(size) != 2 or not all(1 <= side <= _MAX_SIZE for side in size):
        raise ValueError(f"output_size is {output_size}; expected 1 to {_MAX_SIZE}, or two of them")
    if not all(0 < scale < math.inf for scale in scales):
        raise ValueError(f"the scale of a level is {min(scales)}; expected a positive number")
    if sampling_ratio > _MAX_SIZE:
        raise ValueError(f"sampling_ratio is {sampling_ratio}; expected at most {_MAX_SIZE}")
    return size


def _check_levels(features: list[Tensor], scales: list[float], canonical_box_size: int) -> None:
    if len(features) != len(scales):
        raise ValueError(
            f"{len(features)} feature maps and {len(scales)} scales {scales}; "
            "expected one scale for each map"
        )
    first = features[0]
    for x in features:
        if x.shape[:2] != first.shape[:2] or x.dtype != first.dtype:
            raise ValueError(
                f"feature maps are {tuple(x.shape)} {x.dtype} and {tuple(first.shape)} "
                f"{first.dtype}; expected the same N, C and type"
            )
    if not math.log2(scales[0]).is_integer() or any(
        2 * coarse != fine for fine, coarse in itertools.pairwise(scales)
    ):
        raise ValueError(
            f"scales are {scales}; expected powers of two, each half of the one before "
            "(levels without a gap, the finest first)"
        )
    if canonical_box_size <= 0:
        raise ValueError(f"canonical_box_size is {canonical_box_size}; expected more than 0")


# The PyTorch reference: a pooled value is row weights @ map @ column weights, because bilinear
# interpolation on a grid is separable.


def _reference(
    features: list[Tensor],
    rois: Tensor,
    output_size: tuple[int, int],
    scales: list[float],
    sampling_ratio: int,
    aligned: bool,
    canonical_box_size: int,
    canonical_level: int,
) -> Tensor:
    first = features[0]
    check_rois(rois, first.shape[0])
    levels = assign_levels(rois, scales, canonical_box_size, canonical_level).tolist()
    maps = [x.to(rois.dtype) for x in features]
    pooled = []
    for roi, level in zip(rois, levels, strict=True):
        x, scale = maps[level], scales[level]
        _, x1, y1, x2, y2 = roi * scale - (0.5 if aligned else 0.0)
        rows, row_weight = _axis(y1, y2, output_size[0], x.shape[2], sampling_ratio, aligned)
        columns, column_weight = _axis(x1, x2, output_size[1], x.shape[3], sampling_ratio, aligned)
        with torch.autocast(x.device.type, enabled=False):
            pooled.append(row_weight @ x[int(roi[0])][:, rows, columns] @ column_weight.T)
    shape = (len(rois), first.shape[1], *output_size)
    # Without RoIs the result still depends on the map, so that a backward finds its way.
    result = torch.stack(pooled) if pooled else first.flatten()[:0].view(shape)
    memory_format = _memory_format(_is_channels_last(first))
    return result.to(first.dtype).contiguous(memory_format=memory_format)


def _axis(
    low: Tensor, high: Tensor, bins: int, size: int, sampling_ratio: int, aligned: bool
) -> tuple[slice, Tensor]:
    """The pixels [first, last) of an axis that a RoI's samples touch, and (bins, n) weights."""
    length = high - low if aligned else (high - low).clamp(min=1)
    bin_size = length / bins
    samples = sampling_ratio if sampling_ratio > 0 else int(bin_size.ceil())
    bin_start = low + torch.arange(bins).to(low) * bin_size
    # Of a bin with many samples, no more than can lie on the map: from `first` on.
    step = float(bin_size) / max(samples, 1)
    count = min(samples, int((size + 1) / step) + 3) if step > 0 else samples
    first = torch.zeros_like(bin_start)
    if count < samples:
        first = ((-1 - bin_start) / step).floor().clamp(0, samples - count)
    sample = first[:, None] + torch.arange(count).to(low) + 0.5
    at = bin_start[:, None] + sample * bin_size / max(samples, 1)  # (bins, count)
    weight = ((at >= -1) & (at <= size)).to(low.dtype) / max(samples, 1)
    below, above, share = neighbours(at, size)
    weights = low.new_zeros(bins, size)
    weights.scatter_add_(1, below, weight * (1 - share))
    weights.scatter_add_(1, above, weight * share)
    touched = weights.any(0).nonzero()
    used = slice(int(touched[0]), int(touched[-1]) + 1) if len(touched) else slice(0, 0)
    return used, weights[:, used]


# What torch.compile, torch.export and autograd know of the kernels

if EXTENSION_LOADED:

    def _new(like: Tensor, shape: Sequence[int], channels_last: bool) -> Tensor:
        return torch.empty(
            shape,
            dtype=like.dtype,
            device=like.device,
            memory_format=_memory_format(channels_last),
        )

    @torch.library.register_fake("segsuite::roi_align")
    def _(input: Tensor, rois: Tensor, pooled_height: int, pooled_width: int, *_: Any) -> Tensor:
        shape = (rois.shape[0], input.shape[1], pooled_height, pooled_width)
        return _new(input, shape, _is_channels_last(input))

    @torch.library.register_fake("segsuite::roi_align_backward")
    def _(
        grad: Tensor, rois: Tensor, input_size: Sequence[int], channels_last: bool, *_: Any
    ) -> Tensor:
        return _new(grad, input_size, channels_last)

    @torch.library.register_fake("segsuite::multilevel_roi_align")
    def _(
        features: list[Tensor], rois: Tensor, pooled_height: int, pooled_width: int, *_: Any
    ) -> Tensor:
        shape = (rois.shape[0], features[0].shape[1], pooled_height, pooled_width)
        return _new(features[0], shape, _is_channels_last(features[0]))

    @torch.library.register_fake("segsuite::multilevel_roi_align_backward")
    def _(
        grad: Tensor, rois: Tensor, size: Sequence[int], channels_last: bool, *_: Any
    ) -> list[Tensor]:
        levels = zip(size[2::2], size[3::2], strict=True)
        return [_new(grad, (*size[:2], *level), channels_last) for level in levels]

    # Pooling is linear in the map, so the second derivative is the pooling of the first's argument.

    def _save(ctx: Any, inputs: tuple, output: Any) -> None:
        input, rois, _, _, *ctx.options = inputs
        ctx.save_for_backward(rois)
        ctx.size, ctx.channels_last = input.shape, _is_channels_last(input)

    def _backward(ctx: Any, grad: Tensor) -> tuple:
        (rois,) = ctx.saved_tensors
        op = torch.ops.segsuite.roi_align_backward
        return op(grad, rois, ctx.size, ctx.channels_last, *ctx.options), *[None] * 6

    def _save_backward(ctx: Any, inputs: tuple, output: Any) -> None:
        grad, rois, _, _, *ctx.options = inputs
        ctx.save_for_backward(rois)
        ctx.pooled_size = grad.shape[2:]

    def _double_backward(ctx: Any, grad: Tensor) -> tuple:
        (rois,) = ctx.saved_tensors
        op = torch.ops.segsuite.roi_align
        return op(grad, rois, *ctx.pooled_size, *ctx.options), *[None] * 6

    def _save_multilevel(ctx: Any, inputs: tuple, output: Any) -> None:
        features, rois, _, _, *ctx.options = inputs
        ctx.save_for_backward(rois)
        ctx.size = [*features[0].shape, *(side for x in features[1:] for side in x.shape[2:])]
        ctx.channels_last = _is_channels_last(features[0])

    def _backward_multilevel(ctx: Any, grad: Tensor) -> tuple:
        (rois,) = ctx.saved_tensors
        op = torch.ops.segsuite.multilevel_roi_align_backward
        return op(grad, rois, ctx.size, ctx.channels_last, *ctx.options), *[None] * 8

    def _double_backward_multilevel(ctx: Any, grads: list[Tensor]) -> tuple:
        (rois,) = ctx.saved_tensors
        op = torch.ops.segsuite.multilevel_roi_align
        return op(grads, rois, *ctx.pooled_size, *ctx.options), *[None] * 8

    for _name, _derivative, _setup in (
        ("roi_align", _backward, _save),
        ("roi_align_backward", _double_backward, _save_backward),
        ("multilevel_roi_align", _backward_multilevel, _save_multilevel),
        ("multilevel_roi_align_backward", _double_backward_multilevel, _save_backward),
    ):
        torch.library.register_autograd(f"segsuite::{_name}", _derivative, setup_context=_setup)
