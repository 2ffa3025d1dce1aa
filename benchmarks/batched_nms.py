"""Speed of non-maximum suppression beside torchvision's.

    python benchmarks/batched_nms.py [--device cuda] [--rows TEXT ...] [--json results.json]

torchvision's operator is called image by image, as Detectron2 does, and the best are kept of what
it returns. Proposals are those of a region proposal network before suppression: 2000 boxes of each
of five levels. "even" ones lie anywhere in an image of 800 x 1216 pixels and have one size a level,
"crowded" ones lie around 60 objects. Detections are 1000 proposals as each of 80 classes, of which
1 % have a score over the threshold. Boxes that only one of the two keeps are counted: torchvision
moves the boxes of few candidates apart by their class, which rounds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from comparison import Case, Contest, Settings, compared, main
from torch import Tensor
from torchvision.ops import batched_nms as torchvision_nms

from segsuite.ops import batched_nms

SIZE = torch.tensor([1216.0, 800.0])
LEVELS, OBJECTS, LIKELY = 5, 60, 0.01


def boxes_at(center: Tensor, size: Tensor) -> Tensor:
    """(..., 4) boxes within the image, of centres and sizes (..., 2)."""
    return (
        torch.cat([center - size / 2, center + size / 2], -1).clamp(min=0).minimum(SIZE.repeat(2))
    )


def even_proposals(num_images: int, per_level: int) -> Tensor:
    shape = (num_images, LEVELS, per_level, 2)
    size = 32.0 * 2 ** torch.arange(LEVELS)[:, None, None] * 2 ** (torch.rand(shape) - 0.5)
    return boxes_at(torch.rand(shape) * SIZE, size).flatten(1, 2)


def crowded_proposals(num_images: int, per_level: int) -> Tensor:
    object_size = 32.0 * 2 ** (torch.rand(num_images, OBJECTS, 1) * (LEVELS - 1)).expand(-1, -1, 2)
    objects = torch.cat([torch.rand(num_images, OBJECTS, 2) * SIZE, object_size], 2)
    place = torch.randint(0, OBJECTS, (num_images, LEVELS * per_level, 1)).expand(-1, -1, 4)
    center, size = objects.gather(1, place).split(2, 2)
    noise = torch.randn(2, *center.shape) * 0.1
    return boxes_at(center + noise[0] * size, size * noise[1].exp())


def contest(
    boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float, topk: int, device: str
) -> Contest:
    boxes, scores, groups = (x.to(device) for x in (boxes, scores, groups))
    all_valid = bool((scores > -torch.inf).all())

    def usual() -> list[Tensor]:
        kept = []
        for box, score in zip(boxes, scores, strict=True):
            if all_valid:
                kept.append(torchvision_nms(box, score, groups, iou_threshold)[:topk])
            else:
                there = (score > -torch.inf).nonzero()[:, 0]
                best = torchvision_nms(box[there], score[there], groups[there], iou_threshold)
                kept.append(there[best[:topk]])
        return kept

    def ours() -> tuple[Tensor, Tensor]:
        return batched_nms(boxes, scores, groups, iou_threshold, topk)

    indices, counts = ours()
    results = zip(indices.tolist(), counts.tolist(), usual(), strict=True)
    different = sum(len({*i[:n]} ^ {*kept.tolist()}) for i, n, kept in results)
    # Boxes, scores and groups in, indices and counts out.
    moved = sum(x.numel() * x.element_size() for x in (boxes, scores, groups, indices, counts))
    return Contest(usual, ours, moved, f"{int(counts.sum())} kept, {different} differ")


def proposals(num_images: int, per_level: int, kind: str, topk: int, device: str) -> Contest:
    make = {"even": even_proposals, "crowded": crowded_proposals}[kind]
    boxes = make(num_images, per_level)
    scores = torch.randn(boxes.shape[:2])
    levels = torch.arange(LEVELS).repeat_interleave(per_level)
    return contest(boxes, scores, levels, 0.7, topk, device)


def detections(num_images: int, proposals: int, classes: int, device: str) -> Contest:
    boxes = crowded_proposals(num_images, proposals)[:, :proposals, None]
    boxes = boxes_at(boxes[..., :2], torch.rand(num_images, proposals, classes, 2) * 200 + 20)
    scores = torch.rand(num_images, proposals * classes)
    scores = scores.masked_fill(torch.rand(scores.shape) > LIKELY, -torch.inf)
    of_classes = torch.arange(classes).repeat(proposals)
    return contest(boxes.flatten(1, 2), scores, of_classes, 0.5, 100, device)


def cases(settings: Settings) -> Iterator[Case]:
    per_level, proposed, classes = (40, 20, 5) if settings.quick else (2000, 1000, 80)
    for kind in ("even", "crowded"):
        for num_images, topk in ((2, 1000), (16, 1000), (16, LEVELS * per_level)):
            sizes = f"{num_images} images x {LEVELS} levels x {per_level}"
            make = partial(proposals, num_images, per_level, kind, topk, settings.device)
            yield compared(f"batched_nms, {sizes}, {kind}, best {topk}", make, queued=True)
    for num_images in (1, 8):
        sizes = f"{num_images} images x {proposed} boxes x {classes} classes"
        make = partial(detections, num_images, proposed, classes, settings.device)
        yield compared(f"batched_nms, {sizes}, best 100", make, queued=True)


if __name__ == "__main__":
    main(__doc__, cases)
