"""The whole evaluation loop: with the fused operator, and in the usual way.

    python benchmarks/evaluation_loop.py [--device cuda] [--json results.json]
    SEGSUITE_DATASETS=/path/to/datasets python benchmarks/evaluation_loop.py \
        --config-file camvid/unet_resnet18_20min [--weights FILE]

One model goes over its images, which are in memory: generated ones as large as CamVid's, or those
of DATASETS.TEST of a configuration. "usual" makes the logits as large as the image, takes the
argmax and counts with numpy.bincount, as Detectron2's evaluator does; ours is `SemSegEvaluator`
without files, so that both give the same figures. What the model alone takes is told, too. Without
--weights the logits are those of an untrained network, which are noisier than a trained one's.
Times are of an image.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from comparison import Case, Row, Settings, main
from device_work import Work, work_of
from generated_data import CLASSES, draw_scene
from timing import median_milliseconds
from torch import nn

from segsuite.checkpoint import load_weights
from segsuite.config import CfgNode, load_config
from segsuite.data import MetadataCatalog, build_test_loader, register_from_config
from segsuite.data.sem_seg import read_sem_seg
from segsuite.evaluation import DatasetEvaluator, SemSegEvaluator, inference_on_dataset
from segsuite.evaluation.metrics import sem_seg_metrics
from segsuite.modeling import build_model

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ROOT / "configs" / "camvid" / "unet_resnet18_20min.yaml"
Batches = list[list[dict[str, Any]]]


class UsualEvaluator(DatasetEvaluator):
    """Full-size logits, argmax, numpy.bincount."""

    def __init__(self, num_classes: int, ignore_index: int):
        self._num_classes = num_classes
        self._ignore_index = ignore_index

    def reset(self) -> None:
        self._matrix = np.zeros((self._num_classes + 1) ** 2, dtype=np.int64)

    def process(self, inputs, outputs) -> None:
        k = self._num_classes
        for record, output in zip(inputs, outputs, strict=True):
            prediction = output["sem_seg"]
            height, width = (round(side) for side in prediction.source_size)
            logits = prediction.logits[None, :, :height, :width].float()
            full = F.interpolate(logits, size=prediction.size, mode="bilinear", align_corners=False)
            pred, target = full.argmax(1).cpu().numpy(), record["sem_seg_gt"].numpy()
            target = np.where(target == self._ignore_index, k, target).astype(np.int64)
            entry = (k + 1) * target.reshape(-1) + pred.reshape(-1)
            self._matrix += np.bincount(entry, minlength=self._matrix.size)

    def evaluate(self):
        matrix = torch.from_numpy(self._matrix.reshape(self._num_classes + 1, -1))
        return {"sem_seg": {"mIoU": 100 * float(sem_seg_metrics(matrix).mean_iou)}}


class Nothing(DatasetEvaluator):
    """What the model alone takes."""

    def reset(self) -> None: ...
    def process(self, inputs, outputs) -> None: ...
    def evaluate(self) -> dict:
        return {}


def read_batches(cfg: CfgNode) -> tuple[Batches, list[str], int]:
    """The batches of DATASETS.TEST with their label maps, its classes and its ignored label."""
    register_from_config(cfg)
    metadata = MetadataCatalog.get(cfg.DATASETS.TEST[0])
    batches = list(build_test_loader(cfg, cfg.DATASETS.TEST[0]))
    for record in (record for batch in batches for record in batch):
        labels = read_sem_seg(record["sem_seg_file_name"], metadata.get("label_map"))
        record["sem_seg_gt"] = torch.from_numpy(labels)
    return batches, metadata.stuff_classes, metadata.get("ignore_label", 255)


def generated_batches(quick: bool) -> tuple[Batches, list[str], int]:
    """The same of images that are generated."""
    count, height, width = (2, 64, 96) if quick else (16, 720, 960)
    batches = []
    for scene in (draw_scene(number, height, width) for number in range(count)):
        image = torch.from_numpy(scene.image).permute(2, 0, 1).contiguous()
        labels = torch.from_numpy(scene.labels)
        record = {"image": image, "height": height, "width": width, "sem_seg_gt": labels}
        batches.append([{**record, "file_name": f"{len(batches)}.jpg", "image_id": len(batches)}])
    return batches, [f"class {k}" for k in range(CLASSES)], 255


def prepare(settings: Settings) -> tuple[nn.Module, Batches, dict[str, DatasetEvaluator]]:
    given = getattr(settings.arguments, "config_file", None)
    options = ["DATALOADER.NUM_WORKERS", "0", "MODEL.DEVICE", settings.device]
    cfg = load_config(given or DEFAULT, options)
    batches, names, ignored = read_batches(cfg) if given else generated_batches(settings.quick)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = len(names)
    model = build_model(cfg)
    if weights := getattr(settings.arguments, "weights", None):
        load_weights(model, weights)
    evaluators: dict[str, DatasetEvaluator] = {
        "usual": UsualEvaluator(len(names), ignored),
        "segsuite": SemSegEvaluator("benchmark", class_names=names, ignore_index=ignored),
        "model": Nothing(),
    }
    return model, batches, evaluators


def measure(name: str, settings: Settings) -> Row:
    torch.manual_seed(0)
    model, batches, evaluators = prepare(settings)
    ways = {
        way: partial(inference_on_dataset, model, batches, evaluator)
        for way, evaluator in evaluators.items()
    }
    mious = [ways[way]()["sem_seg"]["mIoU"] for way in ("usual", "segsuite")]
    ms = median_milliseconds(ways, settings.repetitions, settings.device)
    ms = {way: value / len(batches) for way, value in ms.items()}
    remarks = f"mIoU {mious[0]:.4f}, {mious[1]:.4f}; the model alone {ms['model']:.2f} ms"
    works = (per_image(work_of(ways[w], settings.device), len(batches)) for w in [*ways][:2])
    return Row(name, ms["usual"], ms["segsuite"], None, *works, remarks=remarks)


def per_image(work: Work, images: int) -> Work:
    counted = (work.busy_ms, work.launches, work.waits)
    return Work(*(None if x is None else x / images for x in counted), memory_mib=work.memory_mib)


def cases(settings: Settings) -> Iterator[Case]:
    given = getattr(settings.arguments, "config_file", None)
    name = f"evaluation loop, {Path(given).stem if given else 'U-Net, generated images'}, an image"
    yield Case(name, partial(measure, name))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config-file", help="instead of generated images its DATASETS.TEST")
    parser.add_argument("--weights", help="of a trained model")


if __name__ == "__main__":
    main(__doc__, cases, add_arguments)
