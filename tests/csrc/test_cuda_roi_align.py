"""csrc/cuda/roi_align.cuh without a GPU: emulated against the CPU kernels; through nvcc."""

from __future__ import annotations

import ctypes
import math

import pytest
import torch

from segsuite.ops import multilevel_roi_align
from tests.csrc.emulation import assert_compiles_without_spills, emulated, pointer, requires_nvcc
from tests.ops.rois import random_rois

TYPES = [torch.float32, torch.float64, torch.float16]
FORWARD, ATOMIC, ORDERED = range(3)
MAX_LEVELS = 8


class Map(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("strides", ctypes.c_int64 * 4),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("scale", ctypes.c_double),
    ]


class Pooling(ctypes.Structure):
    _fields_ = [
        ("maps", Map * MAX_LEVELS),
        ("pooled", Map),
        ("rois", ctypes.c_void_p),
        ("num_rois", ctypes.c_int64),
        ("images", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("levels", ctypes.c_int32 * 4),  # finest, count, canonical size, canonical level
        ("pooled_size", ctypes.c_int32 * 2),
        ("sampling_ratio", ctypes.c_int32),
        ("aligned", ctypes.c_bool),
    ]


def as_map(x, scale=0.0):
    return Map(pointer(x), (ctypes.c_int64 * 4)(*x.stride()), *x.shape[2:], scale)


def emulate(direction, maps, pooled, rois, scales, sampling_ratio, aligned):
    """Run a kernel; `maps` or `pooled` is what it writes."""
    rois = rois.contiguous()
    pooling = Pooling(
        maps=(Map * MAX_LEVELS)(*map(as_map, maps, scales)),
        pooled=as_map(pooled),
        rois=pointer(rois),
        num_rois=len(rois),
        images=maps[0].shape[0],
        channels=maps[0].shape[1],
        levels=(ctypes.c_int32 * 4)(round(-math.log2(scales[0])), len(scales), 224, 4),
        pooled_size=(ctypes.c_int32 * 2)(*pooled.shape[2:]),
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )
    kernels = emulated("emulate_roi_align")
    kernels.run(ctypes.byref(pooling), TYPES.index(pooled.dtype), direction)


def make(dtype, channels_last, scales=(0.25, 0.125, 0.0625), height=100, width=130, num_rois=40):
    """Maps of two images, and RoIs in, over the edge of and beside them."""
    torch.manual_seed(0)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    maps = [
        torch.randn(2, 11, math.ceil(height * scale), math.ceil(width * scale))
        .to(dtype)
        .to(memory_format=memory_format)
        .requires_grad_()
        for scale in scales
    ]
    sum_type = torch.float64 if dtype == torch.float64 else torch.float32
    return maps, random_rois(num_rois, 2, height, width).to(sum_type)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("sampling_ratio, aligned", [(2, True), (0, True), (0, False), (3, False)])
def test_pyramid(dtype, channels_last, sampling_ratio, aligned):
    scales = (0.25, 0.125, 0.0625)
    maps, rois = make(dtype, channels_last, scales)
    expected = multilevel_roi_align(maps, rois, (5, 3), scales, sampling_ratio, aligned)
    tolerance = {"atol": 1e-5 if dtype == torch.float32 else 2e-3, "rtol": 1e-3}
    if dtype == torch.float64:
        tolerance = {"atol": 1e-12, "rtol": 1e-12}

    pooled = torch.full_like(expected, torch.nan)
    emulate(FORWARD, [x.detach() for x in maps], pooled, rois, scales, sampling_ratio, aligned)
    torch.testing.assert_close(pooled, expected.detach(), **tolerance)

    grad = torch.randn_like(expected)
    expected_grads = torch.autograd.grad(expected, maps, grad)
    for direction in (ATOMIC, ORDERED):
        if direction == ATOMIC:  # adds to what is there, in the type of the sums
            grads = [torch.zeros_like(x, dtype=rois.dtype) for x in maps]
        else:
            grads = [torch.full_like(x, torch.nan) for x in maps]
        emulate(direction, grads, grad, rois, scales, sampling_ratio, aligned)
        for result, reference in zip(grads, expected_grads, strict=True):
            torch.testing.assert_close(result.to(dtype), reference, **tolerance)


def test_refused_rois_are_nan_and_have_no_gradient():
    maps, rois = make(torch.float32, False, scales=(0.25,), num_rois=4)
    rois[1, 0] = 2
    rois[2, 0] = -1
    rois[3, 1:] = torch.tensor([5.0, 5.0, 1.0, 9.0])
    pooled = torch.empty(4, 11, 2, 2)
    emulate(FORWARD, [maps[0].detach()], pooled, rois, (0.25,), 2, True)
    assert not pooled[0].isnan().any()
    assert pooled[1:].isnan().all()
    expected = torch.zeros_like(maps[0])
    emulate(ATOMIC, [expected], torch.ones_like(pooled)[:1], rois[:1], (0.25,), 2, True)
    for direction in (ATOMIC, ORDERED):
        grad = torch.zeros_like(maps[0])
        emulate(direction, [grad], torch.ones_like(pooled), rois, (0.25,), 2, True)
        torch.testing.assert_close(grad, expected)


@requires_nvcc
def test_nvcc_compiles_without_spills():
    assert_compiles_without_spills("compile_roi_align.cu")
