"""Data sets made of random ellipses, in files, for benchmarks without a data set at hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

CLASSES = 19  # of which 0 is what is between the ellipses
COLORS = np.random.default_rng(1).integers(0, 256, (CLASSES, 3))


@dataclass
class Scene:
    image: np.ndarray  # (H, W, 3) uint8
    labels: np.ndarray  # (H, W) uint8
    polygons: list[np.ndarray]  # (N, 2) x, y
    classes: list[int]  # 1 .. CLASSES - 1 of each polygon


def draw_scene(seed: int, height: int, width: int, objects: int = 7) -> Scene:
    """Ellipses of all classes on noise, so that the image takes as long to decode as a photo."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    labels = np.zeros((height, width), np.uint8)
    polygons, classes = [], []
    for _ in range(objects):
        centre = rng.uniform((0.2, 0.2), (0.8, 0.8)) * (width, height)
        axes = rng.uniform(0.05, 0.2, 2) * (width, height)
        points = cv2.ellipse2Poly(
            tuple(map(int, centre)), tuple(map(int, axes)), int(rng.integers(180)), 0, 360, 12
        )
        polygons.append(points)
        classes.append(int(rng.integers(1, CLASSES)))
        cv2.fillPoly(labels, [points], classes[-1])
        cv2.fillPoly(image, [points], COLORS[classes[-1]].tolist())
    noise = rng.integers(-12, 13, image.shape)
    return Scene((image + noise).clip(0, 255).astype(np.uint8), labels, polygons, classes)


def write_label_maps(folder: Path, count: int, height: int, width: int) -> None:
    """``images/*.jpg`` and ``labels/*.png``."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        scene = draw_scene(number, height, width)
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), scene.image)
        cv2.imwrite(str(folder / "labels" / f"{number}.png"), scene.labels)


def write_coco(folder: Path, count: int, height: int, width: int) -> None:
    """``images/*.jpg`` and ``instances.json``."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        scene = draw_scene(number, height, width)
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), scene.image)
        images.append(
            {"id": number, "file_name": f"{number}.jpg", "height": height, "width": width}
        )
        for points, of_class in zip(scene.polygons, scene.classes, strict=True):
            x, y, w, h = cv2.boundingRect(points)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": of_class,
                    "bbox": [x, y, w, h],
                    "area": float(cv2.contourArea(points)),
                    "iscrowd": 0,
                    "segmentation": [points.flatten().tolist()],
                }
            )
    # As many as COCO has, though not all occur.
    categories = [{"id": k, "name": f"class {k}"} for k in range(1, 81)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
