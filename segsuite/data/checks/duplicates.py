"""What image files have in common: within a data set, and between those for training and
evaluation."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from .images import ImageFacts
from .report import Report

# Bits of the perceptual hash that may differ. Five bands of it: two hashes that differ in at most
# four bits are equal in one of them.
_MAX_DISTANCE = 4
_BANDS = ((0, 13), (13, 26), (26, 39), (39, 52), (52, 64))
_LARGEST_GROUP = 1000


def report_duplicates(
    images: Mapping[str, Sequence[ImageFacts]], kinds: Mapping[str, str | None], report: Report
) -> None:
    """Find the same file, and pictures that look the same, within data sets and between them.

    Data sets of different kinds that have most of their files in common, such as label maps and
    instances of the same images, are one split under two names.

    Args:
        images: of each data set.
        kinds: how each is evaluated.
    """
    entries = _entries(images, _splits(images, kinds, report))
    same = defaultdict(list)
    for entry in entries:
        same[entry.facts.digest].append(entry)
    for first, *others in same.values():
        for entry in others:
            detail = f"the same as {first.facts.file_name}"
            _report_pair(first, entry, ("duplicate-image", "leakage"), detail, report)
    for i, j, distance in near_pairs([entry.facts.phash for entry in entries]):
        first, entry = entries[i], entries[j]
        if first.facts.digest != entry.facts.digest:
            alike = f"{64 - distance} of 64 bits agree"
            detail = f"looks like {first.facts.file_name} ({alike})"
            _report_pair(first, entry, ("near-duplicate", "near-leakage"), detail, report)


class _Entry(NamedTuple):
    """An image of a data set, and the first data set of the split that this one is."""

    split: str
    name: str
    facts: ImageFacts


def _entries(images: Mapping[str, Sequence[ImageFacts]], splits: Mapping[str, str]) -> list[_Entry]:
    """The images that can be read; a file is listed once for a split."""
    entries: dict[tuple[str, str], _Entry] = {}
    for name, of_this in images.items():
        for facts in of_this:
            if facts.size:
                key = splits[name], os.path.realpath(facts.file_name)
                entries.setdefault(key, _Entry(splits[name], name, facts))
    return list(entries.values())


def _report_pair(
    first: _Entry, second: _Entry, kinds: tuple[str, str], detail: str, report: Report
) -> None:
    """Two images of one split are of the first of `kinds`, those of two splits of the second."""
    within, between = kinds
    if first.split == second.split:
        report.add(second.name, within, second.facts.file_name, detail)
    else:
        where = f"{first.name} and {second.name}"
        report.add(where, between, second.facts.file_name, detail)


def _splits(
    images: Mapping[str, Sequence[ImageFacts]], kinds: Mapping[str, str | None], report: Report
) -> dict[str, str]:
    """The name of the first data set with the same images, of each data set."""
    files = {name: {os.path.realpath(f.file_name) for f in images[name]} for name in images}
    splits: dict[str, str] = {}
    for name in files:
        splits[name] = name
        for earlier in list(splits)[:-1]:
            shared = len(files[name] & files[earlier])
            fewer = min(len(files[name]), len(files[earlier]))
            if kinds[name] != kinds[earlier] and 2 * shared > fewer:
                splits[name] = splits[earlier]
                where = f"{earlier} and {name}"
                report.add(where, "same-images", name, f"{shared} files")
                break
    return splits


def near_pairs(hashes: Sequence[int | None]) -> Iterator[tuple[int, int, int]]:
    """The pairs i < j of hashes that differ in at most 4 bits, each once, and in how many.

    Groups of over a thousand hashes that share a band are looked at no further: such pictures share
    a frame or a background rather than their content.
    """
    found = set()
    for start, stop in _BANDS:
        groups = defaultdict(list)
        for i, value in enumerate(hashes):
            if value is not None:
                groups[value >> start & ((1 << stop - start) - 1)].append((i, value))
        for group in groups.values():
            if len(group) > _LARGEST_GROUP:
                continue
            for (i, a), (j, b) in combinations(group, 2):
                distance = (a ^ b).bit_count()
                if distance <= _MAX_DISTANCE and (i, j) not in found:
                    found.add((i, j))
                    yield i, j, distance
