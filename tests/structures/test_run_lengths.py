"""The text of compressed run lengths, checked by whole arrays and one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segsuite.errors import DataError
from segsuite.structures import run_lengths
from segsuite.structures.run_lengths import decode_counts, find_count_faults

RUNS = st.lists(st.sampled_from([0, 1, 2, 15, 16, 31, 32, 500, 1 << 19]), min_size=1, max_size=12)


def text_of(runs):
    pixels = max(sum(runs), 1)
    return coco_mask.frPyObjects({"size": [1, pixels], "counts": runs}, 1, pixels)["counts"]


def expected_fault(text, pixels):
    """By the definition, one text at a time."""
    try:
        runs = decode_counts(text)
    except DataError as e:
        return str(e)
    return run_lengths.runs_fault(min(runs, default=0), sum(runs), pixels)


@given(RUNS)
def test_decoded(runs):
    assert decode_counts(text_of(runs)) == runs
    assert decode_counts(text_of(runs).decode()) == runs


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(RUNS, st.sampled_from(["right", "cut", "long", "short", "odd", "empty"])),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([1, 20, 1 << 16]),
    st.randoms(use_true_random=False),
)
def test_faults(masks, chunk, random):
    """Masks that are right beside others, in chunks of any length."""
    texts, pixels = [], []
    for runs, change in masks:
        text, total = text_of(runs), sum(runs)
        if change == "cut":
            text = text[: random.randrange(len(text))]
        elif change in ("long", "short"):
            total += random.choice((1, 9)) * (1 if change == "short" else -1)
        elif change == "odd":
            at = random.randrange(len(text))
            text = text[:at] + random.choice((b"P", b"~", b" ", b"o" * 9)) + text[at + 1 :]
        elif change == "empty":
            text = b""
        texts.append(random.choice((text, text.decode())))
        pixels.append(total)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_lengths, "_CHUNK", chunk)
        found = find_count_faults(texts, np.array(pixels))
    expected = {i: expected_fault(*pair) for i, pair in enumerate(zip(texts, pixels, strict=True))}
    assert found == {i: fault for i, fault in expected.items() if fault}


def test_nothing():
    assert find_count_faults([], np.zeros(0, int)) == {}
