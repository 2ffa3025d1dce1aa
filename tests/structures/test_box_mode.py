from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segsuite.structures import BoxMode

SIZE = (50, 200)  # height, width
# One box in all modes.
WRITTEN = {
    BoxMode.XYXY_ABS: [20, 10, 60, 40],
    BoxMode.XYWH_ABS: [20, 10, 40, 30],
    BoxMode.XYXY_REL: [0.1, 0.2, 0.3, 0.8],
    BoxMode.XYWH_REL: [0.1, 0.2, 0.2, 0.6],
}
PAIRS = [(a, b) for a in WRITTEN for b in WRITTEN]


def test_numbers_are_detectron2s():
    names = ("XYXY_ABS", "XYWH_ABS", "XYXY_REL", "XYWH_REL", "XYWHA_ABS")
    assert {mode.name: int(mode) for mode in BoxMode} == {n: i for i, n in enumerate(names)}


@pytest.mark.parametrize("of", [list, tuple, np.array, torch.tensor], ids=lambda f: f.__name__)
@pytest.mark.parametrize("from_mode, to_mode", PAIRS)
def test_every_pair(of, from_mode, to_mode):
    box, expected = of(WRITTEN[from_mode]), WRITTEN[to_mode]
    result = BoxMode.convert(box, from_mode, to_mode, SIZE)
    assert type(result) is type(box)
    assert list(map(float, result)) == pytest.approx(expected)
    assert list(map(float, box)) == pytest.approx(WRITTEN[from_mode])  # as it was
    assert list(map(float, BoxMode.convert(box, int(from_mode), int(to_mode), SIZE))) == list(
        map(float, result)
    )


@pytest.mark.parametrize("of", [np.array, torch.tensor], ids=lambda f: f.__name__)
def test_many_at_once_keep_their_type(of):
    boxes = of([[[1, 2, 5, 9], [0, 0, 1, 1]]])
    result = BoxMode.convert(boxes, BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)
    assert result.tolist() == [[[1, 2, 4, 7], [0, 0, 1, 1]]]
    assert result.dtype == boxes.dtype
    none = BoxMode.convert(boxes[:0], BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)
    assert tuple(none.shape) == (0, 2, 4)


def test_integers_of_a_list_stay_integers():
    box = BoxMode.convert([8, 10, 46, 60], BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)
    assert box == [8, 10, 38, 50] and all(isinstance(value, int) for value in box)


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), st.sampled_from(PAIRS))
def test_there_and_back(box, modes):
    there = BoxMode.convert(box, *modes, SIZE)
    assert BoxMode.convert(there, *modes[::-1], SIZE) == pytest.approx(box, abs=1e-6)


@pytest.mark.parametrize("of", [list, torch.tensor], ids=lambda f: f.__name__)
class TestRefused:
    @pytest.mark.parametrize("modes", [(4, 0), (1, 4)])
    def test_rotated(self, of, modes):
        with pytest.raises(ValueError, match=r"XYWHA_ABS.*no rotated boxes"):
            BoxMode.convert(of([1.0, 2, 3, 4]), *modes)

    def test_relative_without_a_size(self, of):
        with pytest.raises(ValueError, match=r"XYXY_REL to XYXY_ABS without .* image_size"):
            BoxMode.convert(of([0.0, 0, 1, 1]), BoxMode.XYXY_REL, BoxMode.XYXY_ABS)

    def test_not_four_numbers(self, of):
        with pytest.raises(ValueError, match="a XYXY_ABS box has 3 numbers; expected 4"):
            BoxMode.convert(of([0.0, 0, 1]), BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)

    def test_no_mode(self, of):
        with pytest.raises(ValueError, match="7 is not a valid BoxMode"):
            BoxMode.convert(of([0.0, 0, 1, 1]), 7, 0)
