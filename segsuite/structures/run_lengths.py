"""The text of compressed run lengths: what it stands for, and whether it can be right.

Each number is written in groups of 5 bits, the lowest first, as characters from "0" on; bit 5 says
that more follow. From the fourth on a number is the difference from the run two before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from segsuite.errors import DataError

# Characters that are decoded at a time: the arrays stay in the processor's cache.
_CHUNK = 1 << 16
# Groups of 5 bits in the text of one run: more would not fit into 32 bits.
_MOST_GROUPS = 7


def find_count_faults(counts: Sequence[str | bytes], pixels: np.ndarray) -> dict[int, str]:
    """Which compressed RLEs can't be decoded, or are not as long as their image.

    Args:
        counts: the texts of N masks.
        pixels: (N,) height times width of each.

    Returns:
        What is wrong, by the index of the mask.
    """
    faults: dict[int, str] = {}
    texts: list[Any] = list(counts)
    if not set(map(type, texts)) <= {str} or not all(map(str.isascii, texts)):
        texts = list(map(_as_bytes, texts))
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    chunks = np.cumsum(lengths) // _CHUNK
    starts = [0, *(np.diff(chunks).nonzero()[0] + 1).tolist(), len(texts)]
    for start, end in pairwise(starts):
        if start < end:
            faults |= _faults_of_chunk(texts[start:end], pixels[start:end], start)
    return faults


def runs_fault(shortest: int, total: int, pixels: int) -> str:
    """What is wrong with runs, by the shortest one and their sum; empty: nothing."""
    if shortest < 0:
        return f"the RLE has a run of {shortest} pixels"
    if total != pixels:
        return f"the runs of the RLE add up to {total}; expected height * width = {pixels}"
    return ""


def decode_counts(counts: str | bytes) -> list[int]:
    """The run lengths that the text of a compressed RLE stands for.

    Raises:
        DataError: the text ends within a number or has other characters.
    """
    text = _as_bytes(counts)
    fault = _text_fault(text)
    if fault:
        raise DataError(fault)
    return decode_runs([text])[0].tolist() if text else []


def decode_runs(counts: Sequence[str | bytes]) -> list[np.ndarray]:
    """The run lengths of several compressed RLEs, (M,) int64 of each.

    Raises:
        DataError: see `decode_counts`; or a text is empty.
    """
    texts = [_as_bytes(text) for text in counts]
    if not texts:
        return []
    numbers = _numbers(texts)
    if numbers is None:
        faults = (_text_fault(text) for text in texts)
        raise DataError(next(filter(None, faults), "the RLE is empty"))
    values, first = numbers
    of_texts = np.split(values, first[1:])
    for runs in of_texts:
        runs[1::2] = np.cumsum(runs[1::2])
        runs[2::2] = np.cumsum(runs[2::2])
    return of_texts


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "replace") if isinstance(text, str) else text


def _faults_of_chunk(counts: list[Any], pixels: np.ndarray, start: int) -> dict[int, str]:
    """
    Args:
        counts: all ASCII, or all bytes.
        start: the index of the first text.
    """
    of_texts: dict[int, str] = {}
    numbers = _numbers(counts)
    if numbers is None:
        texts = list(map(_as_bytes, counts))
        of_texts = {i: fault for i, text in enumerate(texts) if (fault := _text_fault(text))}
        # "0" is one run of no pixel.
        texts = [b"0" if i in of_texts or not text else text for i, text in enumerate(texts)]
        numbers = _numbers(texts)
        assert numbers is not None
    shortest, total = _shortest_and_sum(*numbers)
    bad = (shortest < 0) | (total != pixels)
    bad[list(of_texts)] = True
    return {
        start + i: of_texts.get(i) or runs_fault(int(shortest[i]), int(total[i]), int(pixels[i]))
        for i in bad.nonzero()[0].tolist()
    }


def _numbers(texts: list[Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """The numbers in all texts, one after another, and the index of the first one of each text.

    None where a text is empty, or has characters or numbers that no RLE has.

    Args:
        texts: all ASCII, or all bytes; at least one.
    """
    joined = b"".join(texts) if type(texts[0]) is bytes else "".join(texts).encode()
    groups = np.frombuffer(joined, np.uint8) - 48
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths)
    if not lengths.all() or not len(groups) or groups.max() > 63 or (groups[ends - 1] > 31).any():
        return None
    follows, bits = groups >> 5, groups & 31  # whether a group follows: 0 or 1
    last = (bits ^ 16).view(np.int8) - np.int8(16)  # bit 4 of the last group is the sign
    # At each last group the number, of up to two groups: in every place, which takes less time than
    # to pick those that matter.
    of_places = last.astype(np.int16)
    of_places[1:] <<= 5 * follows[:-1]
    of_places[1:] |= bits[:-1] * follows[:-1]
    stops = (follows == 0).nonzero()[0]
    values = of_places[stops].astype(np.int64)
    longer = stops[:0]
    if len(groups) > 2:
        longer = (follows[:-2] & follows[1:-1] > follows[2:]).nonzero()[0] + 2
    if len(longer):
        numbers = _long_numbers(longer, last, bits, follows)
        if numbers is None:
            return None
        values[np.searchsorted(stops, longer)] = numbers
    return values, np.searchsorted(stops, ends - lengths)


def _long_numbers(
    places: np.ndarray, last: np.ndarray, bits: np.ndarray, follows: np.ndarray
) -> np.ndarray | None:
    """The numbers whose last groups are at some places; None where one is too long."""
    values = last[places].astype(np.int64)
    rows = np.arange(len(places))
    for back in range(1, _MOST_GROUPS + 1):
        # Before the first group of all is the last one of all, which none follows.
        rows = rows[follows[places[rows] - back] == 1]
        if not len(rows):
            return values
        values[rows] = (values[rows] << 5) | bits[places[rows] - back]
    return None


def _shortest_and_sum(values: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the runs of each text the shortest one, or 0 if all are longer, and the sum.

    Args:
        values, first: see `_numbers`.
    """
    # Runs are sums over every other number. The sums go on from text to text; what came before is
    # taken off. Two zeros stand for what is before the first, large numbers follow the last.
    sums = np.zeros(len(values) + 4, np.int64)
    sums[-2:] = np.iinfo(np.int64).max
    for parity in (0, 1):
        # Side by side they are added in half of the time.
        sums[2 + parity : -2 : 2] = np.cumsum(np.ascontiguousarray(values[parity::2]))
    number = np.diff(first, append=len(values))
    before, odd, even = sums[first], sums[first + 1], sums[first + 2]
    total = np.add.reduceat(sums[2:-2], first) - before
    total -= odd * (number // 2) + even * ((number - 1) // 2)
    # The smallest sums over the numbers of a text at even and at odd places of `sums`.
    at_even = np.minimum.reduceat(sums[2::2], (first + 1) // 2)
    at_odd = np.minimum.reduceat(sums[3::2], first // 2)
    starts_odd = first % 2 == 1
    shortest = np.minimum(even - before, np.where(starts_odd, at_odd, at_even) - even)
    others = np.where(starts_odd, at_even, at_odd) - odd
    return np.minimum(shortest, np.where(number > 1, others, 0)), total


def _text_fault(text: bytes) -> str:
    groups = 0
    for byte in text:
        if not 48 <= byte < 112:
            return f"the RLE has the character {chr(byte)!r}; expected '0' to 'o'"
        groups = groups + 1 if (byte - 48) & 32 else 0
        if groups >= _MOST_GROUPS:
            return "the RLE has a run of more than 32 bits"
    return "the text of the RLE is cut short" if groups else ""
