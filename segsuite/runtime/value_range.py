"""From values of any type to the 8 bits that models take, by a range that somebody chose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segsuite.errors import ConfigError, DataError

FULL = "full"
_KEY = "INPUT.VALUE_RANGE"
_EXPECTED = (
    "expected [low, high], such as [0, 4095]; [2%, 98%] for percentiles of each band of an image; "
    "a pair for each band; or full, for all that an integer type holds"
)
_Bound = tuple[float, bool]  # a value, or with True a percentile


class ValueRange:
    """Which values become 0 and 255; those between are spread evenly, those beyond are clipped.

    Images of 8 bits are never changed, so that what has been read can be given again.

    Args:
        limits: ``(low, high)``, each a number or a text such as "2%", the percentile of the finite
            values of a band of an image; or such a pair for each band; or ``("full",)``: 0 and the
            largest value of an unsigned type, smallest and largest of a signed one. Empty: as
            "full" for unsigned integers of up to 16 bits, and no other type is taken.

    Raises:
        ConfigError: something else, or `low` is not below `high`.
    """

    def __init__(self, limits: Sequence[Any] = ()) -> None:
        values = [limits] if isinstance(limits, str) else list(limits)
        self.is_default = not values
        self._is_full = values == [FULL]
        self._pairs: list[tuple[_Bound, _Bound]] = []
        if not self.is_default and not self._is_full:
            pairs = values if isinstance(values[0], (list, tuple)) else [values]
            self._pairs = [_pair(pair, limits) for pair in pairs]

    @property
    def has_percentiles(self) -> bool:
        """Whether the range differs from image to image."""
        return any(is_share for pair in self._pairs for _, is_share in pair)

    def check(self, dtype: np.dtype, bands: int, name: object) -> None:
        """Check that it says how values of a type are read.

        Raises:
            DataError: it does not, or has pairs for another number of bands.
        """
        if dtype in (np.uint8, np.bool_):
            return
        if dtype.kind not in "uif":
            raise DataError(f"{name} has values of type {dtype}; expected integers or real numbers")
        is_small = dtype.kind == "u" and dtype.itemsize <= 2
        if (self.is_default and not is_small) or (self._is_full and dtype.kind == "f"):
            raise DataError(
                f"{name} has values of type {dtype} ({dtype.itemsize * 8} bits), and no range of "
                f"them is known. Say by {_KEY} which become 0 and 255: {_EXPECTED}"
            )
        if len(self._pairs) > 1 and len(self._pairs) != bands:
            raise DataError(
                f"{_KEY} has {len(self._pairs)} pairs, but {bands} bands are read of {name}; give "
                "one pair for all, or one for each"
            )

    def scale(
        self, pixels: np.ndarray, name: object, *, bits: int = 0, no_data: float | None = None
    ) -> np.ndarray:
        """Bring the values of an image to 0-255.

        Args:
            pixels: (H, W, C) of any integer or real type; NaN becomes 0.
            name: for messages.
            bits: that are used of an unsigned type; 0: all.
            no_data: a value that counts for no percentile.

        Returns:
            (H, W, C) uint8, `pixels` where they are.

        Raises:
            DataError: as `check`.
        """
        if pixels.dtype == np.uint8:
            return pixels
        if pixels.dtype == np.bool_:
            return pixels.astype(np.uint8) * np.uint8(255)
        bands = pixels.shape[2]
        self.check(pixels.dtype, bands, name)
        if not self._pairs:
            return _spread(pixels, *_full_range(pixels.dtype, bits))
        if len(self._pairs) == 1 and not any(is_share for _, is_share in self._pairs[0]):
            return _spread(pixels, *(value for value, _ in self._pairs[0]))
        pairs = self._pairs * (bands // len(self._pairs))
        scaled = np.empty(pixels.shape, np.uint8)
        for i, pair in enumerate(pairs):
            low, high = _limits(pixels[..., i], pair, no_data)
            scaled[..., i] = _spread(pixels[..., i], low, high)
        return scaled

    def limits(self, dtype: np.dtype, bits: int = 0) -> tuple[float, float] | None:
        """The values that become 0 and 255, where they are the same for all images and bands."""
        if dtype.kind not in "uif" or dtype == np.uint8:
            return None
        if not self._pairs:
            return None if dtype.kind == "f" else _full_range(dtype, bits)
        (low, low_is_share), (high, high_is_share) = self._pairs[0]
        if len(self._pairs) > 1 or low_is_share or high_is_share:
            return None
        return low, high


def _pair(pair: Any, given: Any) -> tuple[_Bound, _Bound]:
    try:
        low, high = map(_bound, pair)
    except (TypeError, ValueError):
        raise ConfigError(f"{_KEY} is {given!r}: {_EXPECTED}") from None
    if low[1] == high[1] and not low[0] < high[0]:
        raise ConfigError(f"{_KEY} is {given!r}: the low end has to be below the high one")
    return low, high


def _bound(value: Any) -> _Bound:
    is_share = isinstance(value, str) and value.strip().endswith("%")
    number = float(value.strip().rstrip("%") if isinstance(value, str) else value)
    if not np.isfinite(number) or isinstance(value, bool) or (is_share and not 0 <= number <= 100):
        raise ValueError(value)
    return number, is_share


def _full_range(dtype: np.dtype, bits: int) -> tuple[float, float]:
    if dtype.kind == "u" and bits:
        return 0.0, float(2**bits - 1)
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


def _limits(
    band: np.ndarray, pair: tuple[_Bound, _Bound], no_data: float | None
) -> tuple[float, float]:
    """The values that percentiles stand for in a band (H, W)."""
    values = band[np.isfinite(band)] if band.dtype.kind == "f" else band.ravel()
    if no_data is not None:
        values = values[values != no_data]
    if not values.size:
        return 0.0, 1.0
    values = values.astype(np.float64)
    low, high = (float(np.percentile(values, v)) if is_share else v for v, is_share in pair)
    return low, high


def _spread(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    if pixels.dtype.kind in "ui" and pixels.dtype.itemsize <= 2:
        # Each value once: exact, and faster than arithmetic on the pixels.
        info = np.iinfo(pixels.dtype)
        table = _spread(np.arange(info.min, info.max + 1, dtype=np.float64), low, high)
        # A negative index counts from the end.
        table = np.roll(table, info.min)
        return table[pixels]
    scaled = (pixels.astype(np.float64) - low) * (255.0 / (high - low) if high > low else 0.0)
    return np.nan_to_num(scaled, nan=0.0).clip(0, 255).round().astype(np.uint8)
