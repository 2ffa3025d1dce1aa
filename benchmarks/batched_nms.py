"""Speed of non-maximum suppression beside torchvision's.

    python benchmarks/batched_nms.py [--device cuda] [--repetitions 9] [--json results.json]

Both run by turns in this one process, with all of PyTorch's threads, and the medians are compared.
torchvision's operator is called image by image, as Detectron2 does, and the best are kept of what
it returns. Proposals are those of a region proposal network before suppression: 2000 boxes of each
of five levels. "even" ones lie anywhere in an image of 800 x 1216 pixels and have one size a level,
"crowded" ones lie around 60 objects. Detections are 1000 proposals as each of 80 classes, of which
1 % have a score over the threshold. Boxes that only one of the two keeps are counted: torchvision
moves the boxes of few candidates apart by their class, which rounds them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from timing import median_milliseconds
from torch import Tensor
from torchvision.ops import batched_nms as torchvision_nms

from segsuite.ops import batched_nms, extension_status

SIZE = torch.tensor([1216.0, 800.0])
LEVELS, PER_LEVEL = 5, 2000
PROPOSALS, CLASSES, LIKELY = 1000, 80, 0.01
OBJECTS = 60


def boxes_at(center: Tensor, size: Tensor) -> Tensor:
    """(..., 4) boxes within the image, of centres and sizes (..., 2)."""
    return (
        torch.cat([center - size / 2, center + size / 2], -1).clamp(min=0).minimum(SIZE.repeat(2))
    )


def even_proposals(num_images: int) -> Tensor:
    shape = (num_images, LEVELS, PER_LEVEL, 2)
    size = 32.0 * 2 ** torch.arange(LEVELS)[:, None, None] * 2 ** (torch.rand(shape) - 0.5)
    return boxes_at(torch.rand(shape) * SIZE, size).flatten(1, 2)


def crowded_proposals(num_images: int) -> Tensor:
    object_size = 32.0 * 2 ** (torch.rand(num_images, OBJECTS, 1) * (LEVELS - 1)).expand(-1, -1, 2)
    objects = torch.cat([torch.rand(num_images, OBJECTS, 2) * SIZE, object_size], 2)
    place = torch.randint(0, OBJECTS, (num_images, LEVELS * PER_LEVEL, 1)).expand(-1, -1, 4)
    center, size = objects.gather(1, place).split(2, 2)
    noise = torch.randn(2, *center.shape) * 0.1
    return boxes_at(center + noise[0] * size, size * noise[1].exp())


def compare(
    case: str,
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    iou_threshold: float,
    topk: int,
    repetitions: int,
    device: str,
) -> dict:
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
    return {
        "case": case,
        **median_milliseconds({"torchvision": usual, "segsuite": ours}, repetitions, device),
        "kept": int(counts.sum()),
        "different": sum(len({*i[:n]} ^ {*kept.tolist()}) for i, n, kept in results),
    }


def proposals(num_images: int, kind: str, topk: int, repetitions: int, device: str) -> dict:
    boxes = {"even": even_proposals, "crowded": crowded_proposals}[kind](num_images)
    scores = torch.randn(boxes.shape[:2])
    levels = torch.arange(LEVELS).repeat_interleave(PER_LEVEL)
    case = f"proposals of {num_images} images, {kind}, best {topk}"
    return compare(case, boxes, scores, levels, 0.7, topk, repetitions, device)


def detections(num_images: int, repetitions: int, device: str) -> dict:
    boxes = crowded_proposals(num_images)[:, :PROPOSALS, None]
    boxes = boxes_at(boxes[..., :2], torch.rand(num_images, PROPOSALS, CLASSES, 2) * 200 + 20)
    scores = torch.rand(num_images, PROPOSALS * CLASSES)
    scores = scores.masked_fill(torch.rand(scores.shape) > LIKELY, -torch.inf)
    classes = torch.arange(CLASSES).repeat(PROPOSALS)
    case = f"detections of {num_images} images, best 100"
    return compare(case, boxes.flatten(1, 2), scores, classes, 0.5, 100, repetitions, device)


def print_rows(rows: list[dict]) -> None:
    print(f"{'candidates':48} {'torchvision':>13} {'segsuite':>12} {'ratio':>7} {'kept':>7} differ")
    for row in rows:
        times = f"{row['torchvision']:10.3f} ms {row['segsuite']:9.3f} ms {row['ratio']:6.1f}x"
        print(f"{row['case']:48} {times} {row['kept']:7} {row['different']:6}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    args = parser.parse_args()
    torch.manual_seed(0)
    device = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"{device}; extension: {extension_status()}; {torch.get_num_threads()} threads")
    rows = [
        proposals(num_images, kind, topk, args.repetitions, args.device)
        for kind in ("even", "crowded")
        for num_images, topk in ((2, 1000), (16, 1000), (16, LEVELS * PER_LEVEL))
    ]
    rows += [detections(num_images, args.repetitions, args.device) for num_images in (1, 8)]
    for row in rows:
        row["ratio"] = row["torchvision"] / row["segsuite"]
    print_rows(rows)
    if args.json:
        args.json.write_text(json.dumps({"device": device, "rows": rows}))


if __name__ == "__main__":
    main()
