"""One annotated scene, and what each annotation program would export of it."""

from __future__ import annotations

import base64
import io
import itertools
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from segsuite.structures import encode_masks, rasterize_polygons

SIZE = (48, 64)
CLASSES = ["cat", "dog"]


@dataclass
class Drawn:
    """An object: its class, polygons that are its parts, and holes in them."""

    label: str
    parts: list[list[float]]
    holes: tuple[list[float], ...] = ()

    @property
    def mask(self) -> np.ndarray:
        parts, holes = (
            rasterize_polygons([[p] for p in polygons], *SIZE).numpy().any(0)
            if polygons
            else np.zeros(SIZE, bool)
            for polygons in (self.parts, self.holes)
        )
        return parts & ~holes


# Whole pixels, so that formats of polygons and of bitmaps say the same.
SOLID = Drawn("cat", [[4, 4, 20, 4, 20, 16, 4, 16]])
PARTS = Drawn("dog", [[30, 5, 40, 5, 40, 15, 30, 15], [45, 5, 60, 5, 60, 20, 45, 20]])
RING = Drawn("cat", [[8, 22, 40, 22, 40, 44, 8, 44]], ([16, 28, 30, 28, 30, 38, 16, 38],))
# In 1.jpg there is nothing, and 2 has sizes of its own.
SCENE = {"0.jpg": [SOLID, PARTS, RING], "1.jpg": [], "sub/2.jpg": [PARTS]}


def write_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in SCENE:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (*SIZE, 3), np.uint8)).save(path)


def pairs(polygon: list[float]) -> list[list[float]]:
    return np.reshape(polygon, (-1, 2)).tolist()


def png(mask: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


def cut_out(mask: np.ndarray) -> tuple[np.ndarray, int, int]:
    """The window of a mask, its first row and column."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = int(rows[0]), int(columns[0])
    return mask[top : rows[-1] + 1, left : columns[-1] + 1], top, left


def labelme(folder: Path) -> dict[str, Any]:
    """JSON files beside the images: polygons, a group, a mask; with an embedded image."""
    write_images(folder)
    for name, objects in SCENE.items():
        shapes: list[dict[str, Any]] = []
        for number, drawn in enumerate(objects):
            base = {"label": drawn.label, "group_id": None, "flags": {}, "description": ""}
            if drawn.holes:
                mask, top, left = cut_out(drawn.mask)
                bottom, right = top + mask.shape[0] - 1, left + mask.shape[1] - 1
                corners = [[float(left), float(top)], [float(right), float(bottom)]]
                text = base64.b64encode(png(mask)).decode()
                shapes.append({**base, "points": corners, "shape_type": "mask", "mask": text})
                continue
            group = number if len(drawn.parts) > 1 else None
            for part in drawn.parts:
                polygon = {"points": pairs(part), "shape_type": "polygon", "mask": None}
                shapes.append({**base, "group_id": group, **polygon})
        path = folder / name
        content = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": path.name,
            "imageData": base64.b64encode(path.read_bytes()).decode(),
            "imageHeight": SIZE[0],
            "imageWidth": SIZE[1],
        }
        path.with_suffix(".json").write_text(json.dumps(content, indent=2))
    return {"FORMAT": "labelme", "ANNOTATIONS": str(folder)}


def cvat(folder: Path) -> dict[str, Any]:
    write_images(folder / "images")
    labels = "".join(f"<label><name>{n}</name><type>any</type></label>" for n in CLASSES)
    images = []
    for number, (name, objects) in enumerate(SCENE.items()):
        shapes = []
        for i, drawn in enumerate(objects, 1):
            if drawn.holes:
                mask, top, left = cut_out(drawn.mask)
                flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]]])
                ends = np.flatnonzero(flat[1:] != flat[:-1])
                runs = np.diff(ends, prepend=0)
                h, w = mask.shape
                shapes.append(
                    f'<mask label="{drawn.label}" source="manual" occluded="0" '
                    f'rle="{", ".join(map(str, runs))}" left="{left}" top="{top}" width="{w}" '
                    f'height="{h}" z_order="0"></mask>'
                )
                continue
            group = f' group_id="{i}"' if len(drawn.parts) > 1 else ""
            for part in drawn.parts:
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in pairs(part))
                shapes.append(
                    f'<polygon label="{drawn.label}" source="manual" occluded="0" '
                    f'points="{points}" z_order="0"{group}><attribute name="age">3</attribute>'
                    "</polygon>"
                )
        images.append(
            f'<image id="{number}" name="{name}" width="{SIZE[1]}" height="{SIZE[0]}">'
            f"{''.join(shapes)}</image>"
        )
    (folder / "annotations.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task>'
        f"<labels>{labels}</labels></task></meta>{''.join(images)}</annotations>\n"
    )
    return {
        "FORMAT": "cvat",
        "ANNOTATIONS": str(folder / "annotations.xml"),
        "IMAGES": str(folder / "images"),
    }


def brush(mask: np.ndarray) -> list[int]:
    """Label Studio's bits of a mask: blocks of repeated values, with two widths of lengths."""
    values = np.repeat(np.where(mask, 255, 0).astype(int).ravel(), 4)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{w - 1:04b}" for w in (3, 4, 8, 16))
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [len(values)]])
    for start, end in itertools.pairwise(starts):
        while start < end:
            length = min(end - start, 1 << 16)
            if length <= 8 and start % 3 == 0:  # some as they are, not repeated
                block = "".join(f"{v:08b}" for v in values[start : start + length])
                bits += f"0{0:02b}{length - 1:03b}{block}"
            else:
                code, width = (2, 8) if length <= 256 else (3, 16)
                bits += f"1{code:02b}{length - 1:0{width}b}{values[start]:08b}"
            start += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def label_studio(folder: Path) -> dict[str, Any]:
    """Objects of one polygon as polygons, all others by the brush."""
    write_images(folder / "images")
    tasks = []
    for number, (name, objects) in enumerate(SCENE.items()):
        results = []
        for drawn in objects:
            if drawn.holes or len(drawn.parts) > 1:
                kind = "brushlabels"
                value: dict[str, Any] = {"format": "rle", "rle": brush(drawn.mask)}
            else:
                kind = "polygonlabels"
                points = np.array(pairs(drawn.parts[0])) * [100 / SIZE[1], 100 / SIZE[0]]
                value = {"points": points.tolist(), "closed": True}
            results.append(
                {
                    "original_width": SIZE[1],
                    "original_height": SIZE[0],
                    "image_rotation": 0,
                    "value": {**value, kind: [drawn.label]},
                    "from_name": "label",
                    "to_name": "image",
                    "type": kind,
                    "origin": "manual",
                }
            )
        address = f"/data/local-files/?d=shop/images/{name.replace('/', '%2F')}"
        if number == 0:
            address = f"/data/upload/3/4fa2b31c-{name}"
        annotation = {"id": number + 7, "was_cancelled": False, "result": results}
        tasks.append({"id": number + 1, "data": {"image": address}, "annotations": [annotation]})
    (folder / "export.json").write_text(json.dumps(tasks))
    return {
        "FORMAT": "label_studio",
        "ANNOTATIONS": str(folder / "export.json"),
        "IMAGES": str(folder / "images"),
    }


def supervisely(folder: Path) -> dict[str, Any]:
    classes = [
        {"title": n, "shape": "any", "color": "#FF0000", "id": i} for i, n in enumerate(CLASSES)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.json").write_text(json.dumps({"classes": classes, "tags": []}))
    write_images(folder / "ds0" / "img")
    for name, objects in SCENE.items():
        figures: list[dict[str, Any]] = []
        for number, drawn in enumerate(objects):
            base = {"id": len(figures), "classTitle": drawn.label, "tags": [], "description": ""}
            if number == 2:
                exterior, interior = pairs(drawn.parts[0]), [pairs(h) for h in drawn.holes]
                points = {"exterior": exterior, "interior": interior}
                figures.append({**base, "geometryType": "polygon", "points": points})
            elif len(drawn.parts) > 1:
                for part in drawn.parts:
                    points = {"exterior": pairs(part), "interior": []}
                    polygon = {"geometryType": "polygon", "points": points}
                    figures.append({**base, **polygon, "instance": f"i{number}"})
            else:
                mask, top, left = cut_out(drawn.mask)
                data = base64.b64encode(zlib.compress(png(mask))).decode()
                bitmap = {"origin": [left, top], "data": data}
                figures.append({**base, "geometryType": "bitmap", "bitmap": bitmap})
        content = {
            "description": "",
            "tags": [],
            "size": {"height": SIZE[0], "width": SIZE[1]},
            "objects": figures,
        }
        path = folder / "ds0" / "ann" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return {"FORMAT": "supervisely", "PROJECT": str(folder)}


def number_maps(objects: list[Drawn], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """The number of the object and the class (from 1) of each pixel."""
    numbers, classes = np.zeros((2, *SIZE), dtype)
    for number, drawn in enumerate(objects):
        numbers[drawn.mask] = 300 + number if dtype is np.uint16 else 1 + number
        classes[drawn.mask] = CLASSES.index(drawn.label) + 1
    return numbers, classes


def voc_instances(folder: Path) -> dict[str, Any]:
    write_images(folder / "JPEGImages")
    names = [Path(name).with_suffix("").as_posix() for name in SCENE]
    for kind in ("SegmentationObject", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / kind / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "ImageSets/Segmentation/train.txt").write_text("\n".join(names) + "\n")
    for name, objects in zip(names, SCENE.values(), strict=True):
        numbers, classes = number_maps(objects, np.uint8)
        border = np.zeros(SIZE, bool)
        border[-1] = True
        numbers[border] = classes[border] = 255
        for kind, values in (("SegmentationObject", numbers), ("SegmentationClass", classes)):
            image = Image.fromarray(values)
            image.putpalette(list(range(256)) * 3)
            image.save(folder / kind / f"{name}.png")
    return {"FORMAT": "voc_instances", "FOLDER": str(folder), "SPLIT": "train", "CLASSES": CLASSES}


def instance_maps(folder: Path) -> dict[str, Any]:
    """16-bit maps of objects, and 8-bit ones of classes."""
    write_images(folder / "images")
    for name, objects in SCENE.items():
        numbers, classes = number_maps(objects, np.uint16)
        for kind, values in (("objects", numbers), ("classes", classes.astype(np.uint8))):
            path = (folder / kind / name).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
    return {
        "FORMAT": "instance_maps",
        "IMAGES": str(folder / "images"),
        "LABELS": str(folder / "objects"),
        "CLASS_MAPS": str(folder / "classes"),
        "CLASSES": CLASSES,
    }


def yolo(folder: Path) -> dict[str, Any]:
    """Objects of several parts and with holes as one polygon with cuts."""
    write_images(folder / "images" / "train")
    joined = {
        id(SOLID): SOLID.parts[0],
        id(PARTS): [30, 5, 40, 5, 45, 5, 60, 5, 60, 20, 45, 20, 45, 5, 40, 5, 40, 15, 30, 15],
        id(RING): [
            *(8, 22, 16, 28, 16, 38, 30, 38, 30, 28, 16, 28, 8, 22),
            *(40, 22, 40, 44, 8, 44),
        ],
    }
    for name, objects in SCENE.items():
        path = (folder / "labels" / "train" / name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        for drawn in objects:
            shares = np.array(pairs(joined[id(drawn)])) / [SIZE[1], SIZE[0]]
            numbers = " ".join(f"{v:.6f}" for v in shares.ravel())
            lines.append(f"{CLASSES.index(drawn.label)} {numbers}\n")
        path.write_text("".join(lines))
    (folder / "data.yaml").write_text(
        "# exported\npath: ../datasets/shop  # somebody else's\ntrain: images/train\n"
        "val: images/val\nnames:\n  0: cat\n  1: dog\n"
    )
    return {"FORMAT": "yolo", "DATA": str(folder / "data.yaml"), "SPLIT": "train"}


def parquet(folder: Path) -> dict[str, Any]:
    """Two shards, the images as bytes; names of classes in the schema, as `datasets` writes it."""
    import pyarrow
    from pyarrow.parquet import write_table

    write_images(folder / "images")
    rows = []
    for number, (name, objects) in enumerate(SCENE.items()):
        masks = [drawn.mask for drawn in objects]
        windows = [cut_out(mask) for mask in masks]
        rows.append(
            {
                "image": {"bytes": (folder / "images" / name).read_bytes(), "path": name},
                "image_id": number,
                "objects": {
                    "category": [CLASSES.index(drawn.label) for drawn in objects],
                    "bbox": [[x, y, m.shape[1], m.shape[0]] for m, y, x in windows],
                    "segmentation": [
                        encode_masks(torch.from_numpy(mask)[None])[0] for mask in masks
                    ],
                },
            }
        )
    category = {"feature": {"names": CLASSES, "_type": "ClassLabel"}, "_type": "Sequence"}
    features = {"image": {"_type": "Image"}, "objects": {"category": category}}
    kept = {"huggingface": json.dumps({"info": {"features": features}})}
    size = pyarrow.list_(pyarrow.int64())
    rle = pyarrow.struct({"size": size, "counts": pyarrow.string()})
    objects_type = pyarrow.struct(
        {
            "category": size,
            "bbox": pyarrow.list_(pyarrow.list_(pyarrow.float64())),
            "segmentation": pyarrow.list_(rle),
        }
    )
    image_type = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    schema = pyarrow.schema(
        {"image": image_type, "image_id": pyarrow.int64(), "objects": objects_type}
    ).with_metadata(kept)
    for shard, part in enumerate((rows[:2], rows[2:])):
        table = pyarrow.Table.from_pylist(part, schema=schema)
        write_table(table, folder / f"train-{shard:05d}-of-00002.parquet")
    return {
        "FORMAT": "parquet",
        "FILES": str(folder / "train-*.parquet"),
        "EXTRACT_TO": str(folder / "extracted"),
    }


WRITERS = {
    f.__name__: f
    for f in (labelme, cvat, label_studio, supervisely, voc_instances, instance_maps, yolo, parquet)
}
