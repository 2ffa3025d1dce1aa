"""csrc/cuda/conv_epilogue.cuh without a GPU: emulated against the CPU kernel; through nvcc."""

from __future__ import annotations

import ctypes
import itertools

import pytest
import torch

from tests.csrc.emulation import (
    assert_compiles_without_spills,
    counting,
    emulated,
    pointer,
    requires_nvcc,
)
from tests.ops.operators import requires_extension

TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def launch(x, bias, residual, *, upsample=False, relu=False):
    emulated("emulate_conv_epilogue").conv_epilogue(
        TYPES.index(x.dtype),
        pointer(x),
        None if bias is None else pointer(bias),
        None if residual is None else pointer(residual),
        (ctypes.c_int64 * 4)(*x.shape),
        ctypes.c_bool(not x.is_contiguous()),
        ctypes.c_bool(upsample),
        ctypes.c_bool(relu),
    )


def random(*size, dtype, layout, offset=0):
    """Adjacent values from the `offset`-th on of an aligned piece of memory."""
    x = torch.randn(size).to(dtype).contiguous(memory_format=layout)
    room = torch.empty(x.numel() + offset, dtype=dtype)
    return room[offset:].as_strided(x.shape, x.stride()).copy_(x)


def assert_is_as_on_the_cpu(size, dtype, layout, offset=0):
    coarse = (*size[:2], size[2] // 2, size[3] // 2)
    bias = torch.randn(size[1], dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    same = random(*size, dtype=dtype, layout=layout, offset=offset)
    half = random(*coarse, dtype=dtype, layout=layout, offset=offset)
    residuals = [(None, False), (same, False)]
    if coarse[2] * 2 == size[2] and coarse[3] * 2 == size[3]:
        residuals.append((half, True))
    cases = itertools.product((None, bias), residuals, (False, True))
    for bias, (residual, upsample), relu in cases:
        x = random(*size, dtype=dtype, layout=layout, offset=offset)
        expected = x.clone()
        torch.ops.segsuite.conv_epilogue_(expected, bias, residual, upsample, relu)
        launch(x, bias, residual, upsample=upsample, relu=relu)
        assert torch.equal(x, expected), (bias is None, upsample, relu)


@requires_extension
@pytest.mark.parametrize("layout", LAYOUTS, ids=["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_all_types_and_layouts(dtype, layout):
    torch.manual_seed(0)
    for size in (
        (2, 8, 6, 16),  # vectors of 16 bytes
        (1, 12, 10, 12),  # and shorter ones
        (3, 5, 7, 9),
        (2, 3, 4, 2),
    ):
        assert_is_as_on_the_cpu(size, dtype, layout)
    assert_is_as_on_the_cpu((1, 8, 6, 16), dtype, layout, offset=1)


@requires_extension
@pytest.mark.parametrize("channels", [1, 7, 36, 264, 4104])
def test_threads_keep_their_channels(channels):
    """Whether or not a block's threads hold whole pixels."""
    torch.manual_seed(0)
    layout = torch.channels_last
    for dtype in (torch.float32, torch.bfloat16):
        height = 2 * max(1, 4_000 // channels)
        assert_is_as_on_the_cpu((1, channels, height, 2), dtype, layout)


@requires_extension
def test_more_planes_than_a_grid_has_rows():
    torch.manual_seed(0)
    for upsample in (False, True):
        x, bias = torch.randn(2, 600, 2, 2), torch.randn(600)
        residual = torch.randn(2, 600, 1, 1) if upsample else torch.randn(2, 600, 2, 2)
        expected = x.clone()
        torch.ops.segsuite.conv_epilogue_(expected, bias, residual, upsample, True)
        launch(x, bias, residual, upsample=upsample, relu=True)
        assert torch.equal(x, expected)


@requires_extension
def test_not_a_number_stays():
    x = torch.tensor([torch.nan, -torch.inf, torch.inf, -1.0]).view(1, 1, 2, 2)
    launch(x, None, torch.zeros(1, 1, 2, 2), relu=True)
    assert x.isnan().flatten().tolist() == [True, False, False, False]
    assert x.flatten()[1:].tolist() == [0, torch.inf, 0]


@pytest.mark.parametrize("layout", LAYOUTS, ids=["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_only_what_must_move_moves(dtype, layout):
    """Whole sectors, 512 bytes a request of a warp, and the map is read and written once."""
    x = random(2, 64, 16, 32, dtype=dtype, layout=layout)
    large = x.nbytes
    for residual, upsample in ((None, False), (x.clone(), False), (x[:, :, ::2, ::2], True)):
        if residual is not None:
            residual = residual.contiguous(memory_format=layout)
        library = emulated("emulate_conv_epilogue")
        with counting(library) as counts:
            launch(x, torch.zeros(64), residual, upsample=upsample, relu=True)
        assert counts["stores"].sectors * 32 == large
        assert counts["stores"].requests * 512 == large
        read = large + (0 if residual is None else residual.nbytes)
        bias = counts["loads"].distinct_sectors * 32 - read
        assert 0 <= bias <= 64 * 4 + 32


@requires_nvcc
def test_nvcc_compiles_without_spills():
    assert_compiles_without_spills("compile_conv_epilogue.cu")
