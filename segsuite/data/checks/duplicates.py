"""What image files have in common: within a data set, and between those for training and
evaluation."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

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
    splits = _splits(images, kinds, report)
    named: list[tuple[str, str, ImageFacts]] = []  # split, data set, image
    seen: set[tuple[str, str]] = set()
    for name, of_this in images.items():
        for facts in of_this:
            key = (splits[name], os.path.realpath(facts.file_name))
            if facts.size and key not in seen:
                named.append((splits[name], name, facts))
            seen.add(key)
    same = defaultdict(list)
    for entry in named:
        same[entry[2].digest].append(entry)
    for (first_split, first_name, first), *others in same.values():
        for split, name, facts in others:
            detail = f"the same as {first.file_name}"
            if split != first_split:
                report.add(f"{first_name} and {name}", "leakage", facts.file_name, detail)
            else:
                report.add(name, "duplicate-image", facts.file_name, detail)
    for i, j, distance in near_pairs([facts.phash for *_, facts in named]):
        (split, name, facts), (other_split, other_name, other) = named[i], named[j]
        if facts.digest == other.digest:
            continue
        detail = f"looks like {facts.file_name} ({64 - distance} of 64 bits agree)"
        if split == other_split:
            report.add(name, "near-duplicate", other.file_name, detail)
        else:
            report.add(f"{name} and {other_name}", "near-leakage", other.file_name, detail)


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
