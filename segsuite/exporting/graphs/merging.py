"""`merge_panoptic` as a graph of which only the image's size is left open."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._higher_order_ops import while_loop

from segsuite.modeling.panoptic_merging import THINGS

from .pasting import pasted
from .slots import compacted


def merge_things(
    scores: Tensor,
    masks: Tensor,
    rows: Tensor,
    columns: Tensor,
    *,
    overlap_threshold: float,
    score_threshold: float,
) -> tuple[Tensor, Tensor]:
    """Lay the instances of N images over one another, the best on top.

    Args:
        scores: (N, D), best first; below the threshold where there is no instance.
        masks: (N, D, M, M) probabilities in boxes.
        rows, columns: (N, D, H, M) and (N, D, W, M), see `pasting_weights`.
        overlap_threshold, score_threshold: see `merge_panoptic`.

    Returns:
        The segments' ids (N, H, W) int32, from 1 on in each image, 0 where there is none; and
        (N, D) bool, which instances they are, in the order of their ids.
    """
    chosen = scores >= score_threshold
    last = chosen.sum(1).amax(0)
    slots = torch.arange(scores.shape[1], device=scores.device)

    def more(slot: Tensor, ids: Tensor, kept: Tensor) -> Tensor:
        return slot < last

    def lay(slot: Tensor, ids: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        of_slot = [x.index_select(1, slot[None])[:, 0] for x in (masks, rows, columns)]
        mask = pasted(of_slot[0], of_slot[1], of_slot[2])
        # Not as the difference of two areas, which OpenVINO 2026.4 takes of the first image alone.
        covered = mask & (ids != 0)
        area, covered_area = (x.sum((1, 2), dtype=torch.int32) for x in (mask, covered))
        is_slot = slots == slot
        # An empty mask has no share that is covered: NaN.
        keep = (chosen & is_slot).any(1) & (covered_area / area.double() <= overlap_threshold)
        number = keep * (kept.sum(1, dtype=torch.int32) + 1)
        ids = ids + (mask & (ids == 0)) * number[:, None, None]
        return slot + 1, ids, kept | (is_slot & keep[:, None])

    nothing = torch.zeros_like(rows[:, 0, :, :1] * columns[:, :1, :, 0], dtype=torch.int32)
    start = (torch.zeros_like(last), nothing, torch.zeros_like(chosen))
    _, ids, kept = while_loop(more, lay, start)
    return ids, kept


def merge_stuff(
    ids: Tensor, num_things: Tensor, labels: Tensor, num_classes: int, *, area_limit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Lay stuff where there are no things.

    Args:
        ids: (N, H, W) int32 of the things.
        num_things: (N,) how many there are, which ids of stuff follow.
        labels: (N, H, W) int64, semantic labels, of which 0 stands for things.
        area_limit: stuff of fewer pixels is left out.

    Returns:
        The ids (N, H, W) int32 with those of stuff; (N, K) bool, which labels have become segments,
        in the order of their ids, and (N, K) int32 their pixels.
    """
    free, flat = ids == 0, labels.flatten(1)
    areas = ids.new_zeros(ids.shape[0], num_classes).scatter_add(1, flat, free.flatten(1).int())
    is_stuff = torch.arange(num_classes, device=ids.device) > THINGS
    kept = (areas >= max(area_limit, 1)) & is_stuff
    of_label = (kept * (num_things[:, None] + kept.cumsum(1))).int()
    ids = ids + free * of_label.gather(1, flat).unflatten(1, ids.shape[1:])
    return ids, kept, areas


def segment_rows(
    things: tuple[Tensor, Tensor, Tensor], stuff: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """What the segments are, in the order of their ids.

    Args:
        things: (N, D) each: which are segments, their classes and their scores.
        stuff: (N, K) each: which labels are segments, and their pixels.

    Returns:
        (N, D + K, 5) float32: category, 1 for a thing, and for things their score, 0 and their
        place among the instances, for stuff 0, its pixels and -1. And (N,) int64, how many rows
        are segments; the others are zeros.
    """
    is_thing, classes, scores = (x.float() for x in things)
    is_stuff, areas = (x.float() for x in stuff)
    zeros, of_stuff = torch.zeros_like(is_thing), torch.zeros_like(is_stuff)
    places = torch.arange(is_thing.shape[1]).float().expand_as(is_thing)
    labels = torch.arange(is_stuff.shape[1]).float().expand_as(is_stuff)
    rows = torch.cat(
        [
            torch.stack([classes, zeros + 1, scores, zeros, places], 2),
            torch.stack([labels, of_stuff, of_stuff, areas, of_stuff - 1], 2),
        ],
        1,
    )
    present = torch.cat([things[0], stuff[0]], 1)
    return compacted(rows, present, rows.shape[1]), present.sum(1)
