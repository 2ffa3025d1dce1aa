from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segsuite.errors import ConfigError, DataError
from segsuite.runtime.value_range import ValueRange


@pytest.mark.parametrize("limits", [(), ("full",), (0, 65535)])
def test_sixteen_bits_are_divided_by_257(limits):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    scaled = ValueRange(limits).scale(values, "a")
    assert scaled.dtype == np.uint8
    assert np.array_equal(scaled, (values / 257).round().astype(np.uint8))


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [(np.int8, -128, 127), (np.int16, -(2**15), 2**15 - 1), (np.uint32, 0, 2**32 - 1)],
)
def test_full_is_all_that_the_type_holds(dtype, low, high):
    values = np.array([[[low], [high]]], dtype=dtype)
    assert ValueRange(("full",)).scale(values, "a").ravel().tolist() == [0, 255]


@given(
    arrays(st.sampled_from([np.int16, np.uint16, np.int32, np.float32]), (4, 5, 2)),
    st.integers(0, 200),
    st.integers(1, 3000),
)
def test_a_range_is_spread_and_what_lies_beyond_is_clipped(values, low, width):
    values = np.nan_to_num(values)
    scaled = ValueRange((low, low + width)).scale(values, "a")
    expected = ((values.astype(float) - low) / width * 255).clip(0, 255)
    assert np.abs(scaled - expected).max() <= 0.5 + 1e-9


def test_percentiles_are_those_of_each_band_of_the_image():
    rng = np.random.default_rng(0)
    bands = np.stack([rng.normal(0, 1, (50, 40)), rng.normal(5000, 800, (50, 40))], -1)
    scaled = ValueRange(("2%", "98%")).scale(bands.astype(np.float32), "a")
    for i in range(2):
        assert 0.015 < (scaled[..., i] == 0).mean() < 0.025
        assert 0.015 < (scaled[..., i] == 255).mean() < 0.025
    mixed = ValueRange((0, "100%")).scale(np.array([[[-5.0], [0.0], [2.0], [4.0]]]), "a")
    assert mixed.ravel().tolist() == [0, 0, 128, 255]


def test_no_data_and_nan_count_for_no_percentile():
    values = np.array([[1.0, 2.0, 3.0], [np.nan, -9999, np.inf]])[..., None]
    scaled = ValueRange(("0%", "100%")).scale(values, "a", no_data=-9999)
    assert scaled[..., 0].tolist() == [[0, 128, 255], [0, 0, 255]]
    flat = np.full((2, 2, 1), 7.0)
    assert not ValueRange(("0%", "100%")).scale(flat, "a").any()
    assert not ValueRange(("0%", "100%")).scale(flat * np.nan, "a").any()


def test_a_pair_for_each_band():
    values = np.array([[[0.5, 3000.0]]], np.float32)
    assert ValueRange([[0, 1], [0, 3000]]).scale(values, "a").tolist() == [[[128, 255]]]
    with pytest.raises(
        DataError, match=r"INPUT\.VALUE_RANGE has 2 pairs, but 3 bands .* of a\.tif"
    ):
        ValueRange([[0, 1], [0, 3000]]).scale(np.zeros((1, 1, 3), np.float32), "a.tif")


@pytest.mark.parametrize("limits", [(), ("full",), (5, 9), ("2%", "98%")])
def test_eight_bits_stay_as_they_are(limits):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    assert ValueRange(limits).scale(pixels, "a") is pixels
    assert ValueRange(limits).scale(pixels > 99, "a").tolist() == (255 * (pixels > 99)).tolist()


def test_the_used_bits_of_a_type():
    values = np.array([[[0], [4095]]], np.uint16)
    assert ValueRange().scale(values, "a", bits=12).ravel().tolist() == [0, 255]
    assert ValueRange().limits(np.dtype(np.uint16), 12) == (0, 4095)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32, np.int64, np.float16])
def test_types_of_no_known_range_need_a_decision(dtype):
    bits = 8 * np.dtype(dtype).itemsize
    with pytest.raises(
        DataError, match=rf"x\.tif has .*{np.dtype(dtype)} \({bits} bits\).*VALUE_R"
    ):
        ValueRange().scale(np.zeros((2, 2, 1), dtype), "x.tif")
    if np.dtype(dtype).kind == "f":
        with pytest.raises(DataError, match="no range"):
            ValueRange(("full",)).scale(np.zeros((2, 2, 1), dtype), "x.tif")
    with pytest.raises(DataError, match="complex"):
        ValueRange().check(np.dtype(complex), 1, "x.npy")


@pytest.mark.parametrize(
    "limits",
    [(1,), (5, 5), (9, 1), (0, 1, 2), ("wide",), ("98%", "2%"), ("-1%", "50%"), ("0%", "101%"),
     (0, float("nan")), (None, 1), ([0, 1], [1, 0]), (True, 5)],
)  # fmt: skip
def test_what_is_no_range(limits):
    with pytest.raises(ConfigError, match=r"INPUT\.VALUE_RANGE is"):
        ValueRange(limits)
