"""What tiles do to instances: AP and numbers of objects on mosaics, whole and in tiles.

A mosaic is many images of a data set side by side, which is too large for one pass of a detector on
many machines. Without ``--run-dir`` the detector is an oracle, which finds in a tile what part of
each annotated object the tile shows: what is lost then is lost by joining. With it, the model of a
run is evaluated on the mosaic as a whole and in tiles::

    python benchmarks/tiled_instances.py --annotations instances_val2017.json --images val2017
    python benchmarks/tiled_instances.py --dataset shapes_instances_val --run-dir output/shapes
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from segsuite.data import DatasetCatalog, MetadataCatalog, get_records, read_image
from segsuite.data.datasets import register_coco_instances
from segsuite.evaluation import COCOEvaluator
from segsuite.modeling.inference import TiledInstances
from segsuite.structures import Boxes, Instances, SegmentationMasks, decode_masks, encode_masks
from segsuite.structures.rle import to_rle

Record = dict[str, Any]


class Oracle(nn.Module):
    """Finds what of the annotated objects lies in its input, where it is `min_area` pixels or more.

    It is told where its input lies by the two numbers that are painted into each pixel.
    """

    def __init__(self, record: Record, min_area: int) -> None:
        super().__init__()
        self.annotations = [a for a in record["annotations"] if not a["iscrowd"]]
        size = record["height"], record["width"]
        self.masks = list(SegmentationMasks([a["segmentation"] for a in self.annotations], size))
        self.min_area = min_area

    def forward(self, records: list[Record]) -> list[dict[str, Instances]]:
        return [{"instances": self._find(record["image"])} for record in records]

    def _find(self, image: torch.Tensor) -> Instances:
        y, x = image[:, 0, 0].tolist()
        height, width = image.shape[1:]
        parts = [mask[y : y + height, x : x + width] for mask in self.masks]
        seen = [i for i, part in enumerate(parts) if part.sum() >= self.min_area]
        masks = torch.stack([parts[i] for i in seen]) if seen else torch.zeros(0, height, width)
        boxes = []
        for mask in masks:
            rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
            boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        return Instances(
            (height, width),
            pred_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)),
            scores=torch.tensor([0.5 + 0.4 * float(parts[i].float().mean()) for i in seen]),
            pred_classes=torch.tensor([self.annotations[i]["category_id"] for i in seen]).long(),
            pred_masks=masks.bool(),
        )


def mosaics(name: str, rows: int, columns: int) -> tuple[list[Record], list[np.ndarray]]:
    """Records and pictures of as many mosaics as the images of a data set fill."""
    records = list(get_records([name]))
    height, width = (max(r[key] for r in records) for key in ("height", "width"))
    made, pictures = [], []
    for number in range(len(records) // (rows * columns)):
        size = rows * height, columns * width
        picture = np.zeros((*size, 3), np.uint8)
        annotations: list[Record] = []
        part = records[number * rows * columns : (number + 1) * rows * columns]
        for place, record in enumerate(part):
            y, x = place // columns * height, place % columns * width
            image = read_image(record["file_name"])
            picture[y : y + image.shape[0], x : x + image.shape[1]] = image
            annotations += [_moved(a, record, (y, x), size) for a in record["annotations"]]
        made.append(
            {
                "file_name": f"mosaic {number}",
                "image_id": number + 1,
                "height": size[0],
                "width": size[1],
                "annotations": annotations,
            }
        )
        pictures.append(picture)
    return made, pictures


def _moved(annotation: Record, record: Record, place: tuple[int, int], size: tuple) -> Record:
    own = record["height"], record["width"]
    mask = torch.zeros(size, dtype=torch.bool)
    pixels = decode_masks([to_rle(annotation["segmentation"], *own)], *own)[0]
    mask[place[0] : place[0] + own[0], place[1] : place[1] + own[1]] = pixels
    x, y, w, h = annotation["bbox"]
    bbox = [x + place[1], y + place[0], w, h]
    return {**annotation, "bbox": bbox, "segmentation": encode_masks(mask[None])[0]}


def evaluate(name: str, records: list[Record], outputs: list[Instances]) -> dict[str, float]:
    evaluator = COCOEvaluator(name, ("bbox", "segm"))
    for record, instances in zip(records, outputs, strict=True):
        evaluator.process([record], [{"instances": instances}])
    results = evaluator.evaluate()
    return {f"{task} {key}": results[task][key] for task in results for key in ("AP", "AP50")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", help="a registered data set")
    parser.add_argument("--annotations", help="or a COCO file")
    parser.add_argument("--images", help="and the folder of its images")
    parser.add_argument("--run-dir", help="a run of a detector; by default an oracle")
    parser.add_argument("--grid", type=int, nargs=2, default=(3, 3), metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--overlap", type=float, nargs="+", default=(0.25, 0.5))
    parser.add_argument("--min-area", type=int, default=16, help="of what the oracle finds")
    args = parser.parse_args()
    name = args.dataset or "tiled"
    if args.dataset is None:
        register_coco_instances(name, {}, args.annotations, args.images)
    records, pictures = mosaics(name, *args.grid)
    DatasetCatalog.register("mosaics", lambda: records)
    facts = MetadataCatalog.get(name)
    MetadataCatalog.get("mosaics").set(
        thing_classes=facts.thing_classes,
        evaluator_type="coco",
    )
    count = sum(not a["iscrowd"] for r in records for a in r["annotations"])
    print(f"{len(records)} mosaics of {pictures[0].shape[:2]} pixels, {count} objects")
    for way, outputs, seconds in ways(args, records, pictures):
        figures = evaluate("mosaics", records, outputs)
        found = sum(int((o.scores >= 0.5).sum()) for o in outputs)
        shown = "  ".join(f"{key} {value:.2f}" for key, value in figures.items())
        print(f"{way:20} {shown}  {found} objects of 0.5 and more  {seconds:.1f} s")


def ways(args: argparse.Namespace, records: list[Record], pictures: list[np.ndarray]) -> Any:
    def tiled(model: nn.Module, overlap: float) -> nn.Module:
        return TiledInstances(model, tile_size=(args.tile,) * 2, overlap=overlap)

    if args.run_dir is None:
        inputs = [
            torch.stack(torch.meshgrid(*map(torch.arange, p.shape[:2]), indexing="ij"))
            for p in pictures
        ]
        models = [Oracle(record, args.min_area) for record in records]
    else:
        from segsuite.predict import Predictor

        predictor = Predictor(args.run_dir, ["INPUT.MIN_SIZE_TEST", 0])
        inputs = [predictor._mapper(p)["image"] for p in pictures]
        models = [predictor.model] * len(records)
    for overlap in (None, *args.overlap):
        start = time.perf_counter()
        outputs = []
        with torch.inference_mode():
            for model, image in zip(models, inputs, strict=True):
                module = model if overlap is None else tiled(model, overlap)
                outputs.append(module([{"image": image}])[0]["instances"])
        way = "whole" if overlap is None else f"tiles, overlap {overlap:g}"
        yield way, outputs, time.perf_counter() - start


if __name__ == "__main__":
    main()
