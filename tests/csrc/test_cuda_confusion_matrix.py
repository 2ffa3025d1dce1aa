"""csrc/cuda/confusion_matrix.cuh without a GPU: emulated against the CPU kernels; through nvcc."""

from __future__ import annotations

import ctypes

import pytest
import torch

from segsuite.ops import argmax_from_logits, confusion_matrix
from tests.csrc.emulation import assert_compiles_without_spills, emulated, pointer, requires_nvcc
from tests.ops.upsampling import assert_labels

LABEL_TYPES = [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32]
LABEL_TYPES += [torch.int64, torch.uint64]
LOGIT_TYPES = [torch.float32, torch.float16, torch.bfloat16]


class Shape(ctypes.Structure):
    _fields_ = [
        ("images", ctypes.c_int64),
        ("num_classes", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("strides", ctypes.c_int64 * 4),
    ]


class OutputSize(ctypes.Structure):
    _fields_ = [
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("scale_y", ctypes.c_double),
        ("scale_x", ctypes.c_double),
    ]


@pytest.fixture(autouse=True)
def _same_numbers_each_time():
    torch.manual_seed(0)


def logits_arguments(logits, size, source_size):
    """What both launches take of the logits: pointer, type, shape, workspace, output size."""
    n, k, h, w = logits.shape
    workspace = torch.empty((n, h, w), dtype=torch.uint16)
    scale = [used / out for used, out in zip(source_size, size, strict=True)]
    return (
        pointer(logits),
        LOGIT_TYPES.index(logits.dtype),
        ctypes.byref(Shape(n, k, h, w, (ctypes.c_int64 * 4)(*logits.stride()))),
        pointer(workspace),
        ctypes.byref(OutputSize(*size, *scale)),
    ), workspace


def emulated_argmax(logits, size, source_size):
    arguments, _workspace = logits_arguments(logits, size, source_size)
    dtype = torch.uint8 if logits.shape[1] <= 255 else torch.int16
    out = torch.empty((logits.shape[0], *size), dtype=dtype)
    emulated("emulate_confusion_matrix").argmax_from_logits(*arguments, pointer(out))
    return out


def emulated_count(logits, target, source_size, ignore, out):
    arguments, _workspace = logits_arguments(logits, target.shape[1:], source_size)
    image_stride = out[0].numel() if out.dim() == 3 else 0
    target_type = LABEL_TYPES.index(target.dtype)
    emulated("emulate_confusion_matrix").count_from_logits(
        *arguments,
        pointer(target),
        target_type,
        ctypes.c_int64(ignore),
        pointer(out),
        ctypes.c_int64(image_stride),
    )


@pytest.mark.parametrize("num_classes", [1, 19, 150])  # 150 is too many for shared memory
@pytest.mark.parametrize("index", range(len(LABEL_TYPES)))
def test_label_maps(num_classes, index):
    pred_type, target_type = LABEL_TYPES[index], LABEL_TYPES[-1 - index]
    pred = torch.randint(0, num_classes + 2, (700,)).clamp(max=127).to(pred_type)
    target = torch.randint(0, num_classes + 2, (700,)).clamp(max=127).to(target_type)
    pred[:320] = target[:320] = 0  # warps whose pairs are all equal
    out = torch.zeros((num_classes + 1, num_classes + 1), dtype=torch.int64)
    emulated("emulate_confusion_matrix").count_labels(
        pointer(pred),
        LABEL_TYPES.index(pred_type),
        pointer(target),
        LABEL_TYPES.index(target_type),
        ctypes.c_int64(700),
        num_classes,
        ctypes.c_int64(5),
        pointer(out),
    )
    assert torch.equal(out, confusion_matrix(pred, target, num_classes, ignore_index=5))


@pytest.mark.parametrize("dtype", LOGIT_TYPES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
def test_argmax(dtype, channels_last):
    logits = torch.randn(2, 19, 5, 7).to(dtype)
    logits[1, 3, 2, 2] = torch.nan
    if channels_last:
        logits = logits.to(memory_format=torch.channels_last)
    for size, source_size in (((23, 31), (5, 7)), ((40, 11), (4.25, 6.5)), ((3, 2), (5, 7))):
        labels = emulated_argmax(logits, size, source_size)
        assert_labels(labels, logits, size, source_size)


def test_argmax_of_many_classes_is_int16():
    logits = torch.randn(1, 300, 3, 3)
    labels = emulated_argmax(logits, (9, 9), (3, 3))
    assert_labels(labels, logits, (9, 9), (3, 3))


@pytest.mark.parametrize("num_classes", [1, 19, 150])
@pytest.mark.parametrize("per_image", [False, True])
def test_count_from_logits(num_classes, per_image):
    logits = torch.randn(3, num_classes, 4, 6)
    logits[:, 0, :2] += 9  # cells that are one class all over
    target = torch.randint(0, num_classes + 2, (3, 17, 20)).to(torch.uint8)
    target[0, 5:9] = 255
    matrix = (num_classes + 1, num_classes + 1)
    out = torch.zeros((3, *matrix) if per_image else matrix, dtype=torch.int64)
    emulated_count(logits, target, (4, 6), 255, out)
    pred = argmax_from_logits(logits, (17, 20))
    assert torch.equal(pred, emulated_argmax(logits, (17, 20), (4, 6)))
    expected = torch.stack(
        [confusion_matrix(p, t, num_classes) for p, t in zip(pred, target, strict=True)]
    )
    assert torch.equal(out, expected if per_image else expected.sum(0))


@requires_nvcc
def test_nvcc_compiles_without_spills():
    assert_compiles_without_spills("compile_confusion_matrix.cu")
