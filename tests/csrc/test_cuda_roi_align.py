"""csrc/cuda/roi_align.cuh without a GPU: emulated against the CPU kernels; through nvcc."""

from __future__ import annotations

import ctypes
import math

import pytest
import torch

from segsuite.ops import multilevel_roi_align
from tests.csrc.emulation import (
    assert_compiles_without_spills,
    counting,
    emulated,
    pointer,
    requires_nvcc,
)
from tests.ops.rois import random_rois

TYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
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


def describe(maps, pooled, rois, scales, sampling_ratio, aligned):
    return Pooling(
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


def emulate(maps, pooled, rois, scales, sampling_ratio, aligned, backward=False):
    """Run the kernels; `pooled` is what they write, or the maps are."""
    rois = rois.contiguous()
    pooling = describe(maps, pooled, rois, scales, sampling_ratio, aligned)
    kernels = emulated("emulate_roi_align")
    kernels.run(ctypes.byref(pooling), TYPES.index(pooled.dtype), backward)


def tolerance(dtype):
    if dtype == torch.float64:
        return {"atol": 1e-12, "rtol": 1e-12}
    if dtype == torch.bfloat16:
        return {"atol": 2e-2, "rtol": 1e-2}
    return {"atol": 1e-5 if dtype == torch.float32 else 2e-3, "rtol": 1e-3}


def make(dtype, layout, scales=(0.25, 0.125, 0.0625), channels=11, num_rois=40, size=(100, 130)):
    """Maps of two images, and RoIs in, over the edge of and beside them."""
    torch.manual_seed(0)
    maps = [
        as_layout(
            torch.randn(2, channels, *(math.ceil(side * scale) for side in size)), layout, dtype
        )
        for scale in scales
    ]
    sum_type = torch.float64 if dtype == torch.float64 else torch.float32
    return maps, random_rois(num_rois, 2, *size).to(sum_type)


def as_layout(x, layout, dtype):
    x = x.to(dtype)
    if layout == "channels_last":
        return x.to(memory_format=torch.channels_last)
    if layout == "one element aside":  # vectors of its channels are not aligned
        wide = torch.empty(x.numel() + 1, dtype=dtype)[1:]
        return wide.view(x.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2).copy_(x)
    return x


def check(maps, rois, scales, output_size, sampling_ratio, aligned, out_layout=None):
    """Compare both directions with the CPU's."""
    maps = [x.requires_grad_() for x in maps]
    expected = multilevel_roi_align(maps, rois, output_size, scales, sampling_ratio, aligned)
    options = scales, sampling_ratio, aligned
    dtype = expected.dtype
    pooled = torch.full_like(expected, torch.nan)
    if out_layout:
        pooled = as_layout(pooled, out_layout, dtype)
    emulate([x.detach() for x in maps], pooled, rois, *options)
    torch.testing.assert_close(pooled, expected.detach(), **tolerance(dtype), check_stride=False)

    grad = torch.randn_like(expected)
    expected_grads = torch.autograd.grad(expected, maps, grad)
    grads = [torch.full_like(x, torch.nan).contiguous(memory_format=format_of(x)) for x in maps]
    grad = grad.contiguous(memory_format=torch.channels_last)  # what the operator hands over
    emulate(grads, grad, rois, *options, backward=True)
    for result, reference in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(result, reference, **tolerance(dtype), check_stride=False)


def format_of(x):
    return torch.channels_last if x.stride(1) == 1 else torch.contiguous_format


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
@pytest.mark.parametrize("sampling_ratio, aligned", [(2, True), (0, True), (0, False), (3, False)])
def test_pyramid(dtype, layout, sampling_ratio, aligned):
    scales = (0.25, 0.125, 0.0625)
    maps, rois = make(dtype, layout, scales)
    check(maps, rois, scales, (5, 3), sampling_ratio, aligned)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("channels", [8, 24, 144, 272])
@pytest.mark.parametrize("layout", ["NCHW", "channels_last", "one element aside"])
def test_vectors_of_channels(dtype, channels, layout):
    maps, rois = make(dtype, layout, (0.25,), channels, 6, (60, 50))
    check(maps, rois, (0.25,), (3, 2), 2, True)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("channels, size", [(8, (7, 7)), (40, (5, 40)), (260, (2, 3)), (5, (3, 3))])
def test_pooled_values_are_turned_in_shared_memory(dtype, channels, size):
    """What a copy with adjacent channels is pooled to when maps are NCHW."""
    maps, rois = make(dtype, "channels_last", (0.25,), channels, 5, (60, 50))
    check(maps, rois, (0.25,), size, 2, True, out_layout="NCHW")


@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
@pytest.mark.parametrize(
    "size, sampling_ratio",
    [((40, 2), 2), ((2, 70), 0), ((33, 3), 1), ((3, 33), 1), ((1, 1), 0), ((2, 2), 40)],
)
def test_many_bins_and_bins_of_many_pixels(layout, size, sampling_ratio):
    maps, rois = make(torch.float32, layout, (1.0,), 4, 3, (20, 230))
    rois[0, 1:] = torch.tensor([0.0, 0.0, 230.0, 20.0])  # more pixels than there is room for
    rois[1, 1:] = torch.tensor([-1e6, -3e5, 1e6, 3e5])
    check(maps, rois, (1.0,), size, sampling_ratio, True)


def test_more_rois_than_threads():
    maps, rois = make(torch.float32, "channels_last", (0.25, 0.125), 4, 700, (60, 50))
    check(maps, rois, (0.25, 0.125), (2, 2), 2, True)


@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
def test_refused_rois_are_nan_and_have_no_gradient(layout):
    maps, rois = make(torch.float32, layout, (0.25,), num_rois=4)
    rois[1, 0] = 2
    rois[2, 0] = -1
    rois[3, 1:] = torch.tensor([5.0, 5.0, 1.0, 9.0])
    pooled = torch.empty(4, 11, 2, 2)
    emulate(maps, pooled, rois, (0.25,), 2, True)
    assert not pooled[0].isnan().any()
    assert pooled[1:].isnan().all()
    ones = torch.ones(4, 11, 2, 2).contiguous(memory_format=torch.channels_last)
    expected, grad = (torch.full_like(maps[0], torch.nan) for _ in range(2))
    emulate([expected], ones[:1], rois[:1], (0.25,), 2, True, backward=True)
    emulate([grad], ones, rois, (0.25,), 2, True, backward=True)
    assert torch.equal(grad, expected)


def test_nan_of_a_gradient_stays_where_it_is():
    maps, _ = make(torch.float32, "channels_last", (1.0,), 8, size=(24, 24))
    rois = torch.tensor([[0.0, 0, 0, 24, 24]])
    pooled_grad = torch.zeros(1, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    pooled_grad[0, :, 2, 3] = torch.nan
    grad = torch.empty_like(maps[0])
    emulate([grad], pooled_grad, rois, (1.0,), 2, True, backward=True)
    touched = grad.isnan().all(1).nonzero()
    assert touched.min(0)[0].tolist() == [0, 8, 12]  # samples at 8.5, 10.5 and 12.5, 14.5
    assert touched.max(0)[0].tolist() == [0, 11, 15]
    assert not grad[1].any()


def test_no_rois_have_a_gradient_of_zeros():
    maps, rois = make(torch.float32, "channels_last", (0.25, 0.125), num_rois=0)
    pooled_grad = torch.empty(0, 11, 2, 2)
    emulate(maps, pooled_grad, rois, (0.25, 0.125), 2, True, backward=True)
    assert not any(x.any() for x in maps)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (3, 70, 9, 15), (1, 64, 8, 8), (2, 1, 1, 1)])
def test_copy_with_adjacent_channels(dtype, shape):
    x = torch.randn(shape).to(dtype)
    for view in (x, x.transpose(2, 3), x[:, :, ::2]):
        result = torch.full_like(view, torch.nan).contiguous(memory_format=torch.channels_last)
        source = as_map(view)
        emulated("emulate_roi_align").copy_channels_last(
            ctypes.byref(source), *view.shape[:2], TYPES.index(dtype), pointer(result)
        )
        assert torch.equal(result, view)


def test_maps_are_copied_where_samples_are_more_than_their_pixels():
    maps, rois = make(
        torch.float32, "NCHW", (0.25,), 3, num_rois=70, size=(100, 100)
    )  # 1250 pixels
    pooled = torch.empty(70, 3, 3, 3)
    worth = emulated("emulate_roi_align").worth
    worth.restype = ctypes.c_bool
    expected = {1: False, 2: True, 0: False}  # 630 samples, 2520, of neighbouring pixels
    for sampling_ratio, result in expected.items():
        pooling = describe(maps, pooled, rois, (0.25,), sampling_ratio, True)
        assert worth(ctypes.byref(pooling)) == result


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("sampling_ratio", [2, 0])
def test_each_pixel_of_a_bin_is_read_once_in_whole_sectors(dtype, sampling_ratio):
    x = torch.zeros(1, 64, 30, 30, dtype=dtype).to(memory_format=torch.channels_last)
    pooled = torch.empty(1, 64, 7, 7, dtype=dtype).to(memory_format=torch.channels_last)
    rois = torch.tensor([[0.0, 0, 0, 28, 28]])  # bins of 4 x 4 pixels, and samples in all of them
    with counting(emulated("emulate_roi_align")) as counts:
        emulate([x], pooled, rois, (1.0,), sampling_ratio, True)
    sectors = 49 * 16 * 64 * x.element_size() // 32
    assert sectors <= counts["loads"].sectors <= sectors + 400  # the RoI, by each warp
    assert counts["stores"].sectors == pooled.nbytes // 32
    assert counts["stores"].bytes == pooled.nbytes


@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
def test_a_gradient_is_written_once_in_whole_sectors(layout):
    x, _ = make(torch.float32, layout, (1.0,), 32, size=(40, 48))
    pooled_grad = torch.zeros(9, 32, 3, 3).contiguous(memory_format=torch.channels_last)
    with counting(emulated("emulate_roi_align")) as counts:
        emulate(x, pooled_grad, random_rois(9, 2, 40, 48), (1.0,), 2, True, backward=True)
    assert counts["atomics"].requests == 0
    lists = 9 * 20 + 2 * 2 * 4
    assert x[0].nbytes // 32 <= counts["stores"].sectors <= x[0].nbytes // 32 + lists


@pytest.mark.slow  # two minutes of compilers
@requires_nvcc
def test_nvcc_compiles_without_spills():
    assert_compiles_without_spills("compile_roi_align.cu")
