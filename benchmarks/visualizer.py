"""Milliseconds to draw 30 instances, with masks, outlines, boxes and labels, on 1080 x 1920.

python benchmarks/visualizer.py
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from segsuite.visualization import draw_instances


def scene(instances: int, height: int, width: int):
    """Ellipses of many sizes, each with its box."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    boxes, masks = [], []
    for _ in range(instances):
        w, h = rng.uniform(40, 500), rng.uniform(40, 400)
        cx, cy = rng.uniform(w / 2, width - w / 2), rng.uniform(h / 2, height - h / 2)
        masks.append(((x - cx) / w) ** 2 + ((y - cy) / h) ** 2 < 0.25)
        boxes.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    return image, np.array(boxes), np.stack(masks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=30)
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    image, boxes, masks = scene(args.instances, 1080, 1920)
    texts = [f"pedestrian {i}%" for i in range(args.instances)]
    draw_instances(image, boxes, masks=masks, texts=texts)
    seconds = []
    for _ in range(args.runs):
        start = time.perf_counter()
        draw_instances(image, boxes, masks=masks, texts=texts)
        seconds.append(time.perf_counter() - start)
    print(
        f"{args.instances} instances on 1920 x 1080: best {1e3 * min(seconds):.1f} ms, "
        f"median {1e3 * statistics.median(seconds):.1f} ms"
    )


if __name__ == "__main__":
    main()
