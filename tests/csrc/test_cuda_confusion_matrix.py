"""csrc/cuda/confusion_matrix.cuh and from_logits.cuh without a GPU: emulated; through nvcc."""

from __future__ import annotations

import ctypes

import pytest
import torch

from segsuite.ops import confusion_matrix
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
    """What both launches take of the logits: pointer, type, shape, output size."""
    n, k, h, w = logits.shape
    scale = [used / out for used, out in zip(source_size, size, strict=True)]
    return (
        pointer(logits),
        LOGIT_TYPES.index(logits.dtype),
        ctypes.byref(Shape(n, k, h, w, (ctypes.c_int64 * 4)(*logits.stride()))),
        ctypes.byref(OutputSize(*size, *scale)),
    )


def emulated_argmax(logits, size, source_size):
    arguments = logits_arguments(logits, size, source_size)
    dtype = torch.uint8 if logits.shape[1] <= 255 else torch.int16
    out = torch.empty((logits.shape[0], *size), dtype=dtype)
    emulated("emulate_confusion_matrix").argmax_from_logits(*arguments, pointer(out))
    return out


def emulated_count(logits, target, source_size, ignore, out):
    arguments = logits_arguments(logits, target.shape[1:], source_size)
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


def emulated_label_maps(pred, target, num_classes, ignore):
    out = torch.zeros((num_classes + 1, num_classes + 1), dtype=torch.int64)
    emulated("emulate_confusion_matrix").count_labels(
        pointer(pred),
        LABEL_TYPES.index(pred.dtype),
        pointer(target),
        LABEL_TYPES.index(target.dtype),
        ctypes.c_int64(target.numel()),
        num_classes,
        ctypes.c_int64(ignore),
        pointer(out),
    )
    return out


def random_labels(num_classes, shape, dtype):
    """Classes and what is outside, in runs here and alone there."""
    labels = torch.randint(-1, num_classes + 3, shape).clamp(-2 if dtype.is_signed else 0)
    labels = labels.clamp(max=min(torch.iinfo(dtype).max, 32767)).to(dtype)
    labels.view(-1)[: labels.numel() // 2] = 0
    return labels


# Four copies in shared memory, one copy, over 48 KiB, and too large for it.
@pytest.mark.parametrize("num_classes", [1, 19, 60, 150, 300])
@pytest.mark.parametrize("index", range(len(LABEL_TYPES)))
def test_label_maps(num_classes, index):
    pred = random_labels(num_classes, (9001,), LABEL_TYPES[index])
    target = random_labels(num_classes, (9001,), LABEL_TYPES[-1 - index])
    out = emulated_label_maps(pred, target, num_classes, 5)
    assert torch.equal(out, confusion_matrix(pred, target, num_classes, ignore_index=5))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64], ids=str)
@pytest.mark.parametrize("starts", [(1, 1), (3, 0), (0, 15), (8, 7)])
@pytest.mark.parametrize("n", [1, 14, 20000])
def test_label_maps_of_any_alignment(dtype, starts, n):
    pred, target = (random_labels(19, (n + start,), dtype)[start:] for start in starts)
    out = emulated_label_maps(pred, target, 19, -1)
    assert torch.equal(out, confusion_matrix(pred, target, 19, ignore_index=-1))


def test_label_maps_where_a_type_has_no_such_ignored_label():
    pred, target = (random_labels(250, (500,), torch.uint8) for _ in range(2))
    out = emulated_label_maps(pred, target, 250, -1)  # not 255
    assert torch.equal(out, confusion_matrix(pred, target, 250, ignore_index=-1))
    assert out.sum() == 500


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


# Parts of a cell from one to many, more than a tile by both axes, fewer outputs than logits.
@pytest.mark.parametrize(
    ("source", "size", "used"),
    [
        ((20, 70), (80, 280), (20, 70)),
        ((9, 9), (71, 71), (9, 9)),
        ((9, 9), (71, 70), (6.3, 8.9)),
        ((2, 2), (3, 300), (2, 2)),
        ((1, 1), (130, 5), (1, 1)),
        ((1, 40), (3, 40), (0.2, 40)),
        ((40, 33), (7, 50), (40, 33)),
        ((50, 70), (3, 2), (49.5, 60)),
        ((12, 3), (36, 9), (12, 3)),
    ],
)
@pytest.mark.parametrize("num_classes", [3, 40])  # all in shared memory, and by chunks
def test_sizes(source, size, used, num_classes):
    logits = torch.randn(1, num_classes, *source)
    labels = emulated_argmax(logits, size, used)
    assert_labels(labels, logits, size, used)


@pytest.mark.parametrize("num_classes", [1, 2, 7, 8, 9, 32, 33, 49, 300])
@pytest.mark.parametrize("channels_last", [False, True])
def test_numbers_of_classes(num_classes, channels_last):
    logits = torch.randn(2, num_classes, 4, 5).half()  # with equal values
    logits[1, num_classes // 2, 1, 1] = torch.nan
    if channels_last:
        logits = logits.to(memory_format=torch.channels_last)
    labels = emulated_argmax(logits, (15, 18), (4, 5))
    assert_labels(labels, logits, (15, 18), (4, 5))


def test_infinities_stay_inside():
    logits = torch.randn(1, 5, 6, 6)
    logits[torch.rand_like(logits) < 0.3] = torch.inf
    logits[torch.rand_like(logits) < 0.3] = -torch.inf
    assert (emulated_argmax(logits, (50, 50), (6, 6)) < 5).all()
    assert (emulated_argmax(torch.full_like(logits, -torch.inf), (50, 50), (6, 6)) == 0).all()


def test_any_strides():
    logits = torch.randn(2, 6, 8, 10)[:, ::2, 1:, ::3].transpose(2, 3)
    labels = emulated_argmax(logits, (15, 18), logits.shape[2:])
    assert_labels(labels, logits, (15, 18), logits.shape[2:])


def counts_by_image(logits, target, ignore):
    pred = emulated_argmax(logits, target.shape[1:], logits.shape[2:])
    assert_labels(pred, logits, target.shape[1:], logits.shape[2:])
    return torch.stack(
        [confusion_matrix(p, t, logits.shape[1], ignore) for p, t in zip(pred, target, strict=True)]
    )


# As of label maps; 200 is alone on a multiprocessor, in a larger block.
@pytest.mark.parametrize("num_classes", [1, 19, 33, 150, 200, 300])
@pytest.mark.parametrize("per_image", [False, True])
def test_count_from_logits(num_classes, per_image):
    logits = torch.randn(3, num_classes, 4, 6)
    logits[:, 0, :2] += 9  # cells that are one class all over
    logits[1, 0, 3, 3] = torch.nan
    target = random_labels(num_classes, (3, 17, 20), torch.int16)
    target[0, 5:9] = 255
    matrix = (num_classes + 1, num_classes + 1)
    out = torch.zeros((3, *matrix) if per_image else matrix, dtype=torch.int64)
    emulated_count(logits, target, (4, 6), 255, out)
    expected = counts_by_image(logits, target, 255)
    assert torch.equal(out, expected if per_image else expected.sum(0))


@pytest.mark.parametrize("dtype", LABEL_TYPES, ids=str)
@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("per_image", [False, True])
def test_count_of_targets(dtype, start, per_image):
    """Of any type and alignment, with several tiles for each block."""
    logits = torch.randn(2, 5, 17, 35)
    target = random_labels(5, (start + 2 * 66 * 139,), dtype)[start:].view(2, 66, 139)
    out = torch.zeros((2, 6, 6) if per_image else (6, 6), dtype=torch.int64)
    emulated_count(logits, target, (17, 35), 2, out)
    expected = counts_by_image(logits, target, 2)
    assert torch.equal(out, expected if per_image else expected.sum(0))


@pytest.mark.slow  # a minute of compilers
@requires_nvcc
def test_nvcc_compiles_without_spills():
    assert_compiles_without_spills("compile_confusion_matrix.cu")
