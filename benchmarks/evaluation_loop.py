"""The whole evaluation loop on CamVid: with the fused operator, and in the usual way.

    SEGSUITE_DATASETS=/path/to/datasets python benchmarks/evaluation_loop.py \
        [--config-file F] [--weights FILE] [--runs N]

One model goes over `DATASETS.TEST` with its images in memory. "usual" makes the logits as large as
the image, takes the argmax and counts with numpy.bincount, as Detectron2's evaluator does; "fused"
is `SemSegEvaluator` without files, so that both give the same figures. The two take turns. Without
--weights the logits are those of an untrained network, which are noisier than a trained one's.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from segsuite.checkpoint import load_weights
from segsuite.config import CfgNode, load_config
from segsuite.data import MetadataCatalog, build_test_loader, register_from_config
from segsuite.data.sem_seg import read_sem_seg
from segsuite.evaluation import DatasetEvaluator, build_evaluator, inference_on_dataset
from segsuite.evaluation.metrics import sem_seg_metrics
from segsuite.modeling import build_model

ROOT = Path(__file__).resolve().parents[1]


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
            pred, target = full.argmax(1).numpy(), record["sem_seg_gt"].numpy()
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


def read_batches(cfg: CfgNode, name: str) -> list[list[dict]]:
    """The test batches of a data set with their label maps, all of it in memory."""
    batches = list(build_test_loader(cfg, name))
    label_map = MetadataCatalog.get(name).get("label_map")
    for record in (record for batch in batches for record in batch):
        labels = read_sem_seg(record["sem_seg_file_name"], label_map)
        record["sem_seg_gt"] = torch.from_numpy(labels)
    return batches


def measure(
    model: nn.Module, batches: list, evaluators: dict[str, DatasetEvaluator], runs: int
) -> tuple[dict[str, float], dict[str, dict]]:
    """Milliseconds an image, the median of `runs`, and the results of each evaluator."""
    seconds: dict[str, list[float]] = {way: [] for way in evaluators}
    results = {}
    for run in range(runs + 1):  # the first one warms up
        for way, evaluator in evaluators.items():
            start = time.perf_counter()
            results[way] = inference_on_dataset(model, batches, evaluator)
            if run:
                seconds[way].append(time.perf_counter() - start)
    return {way: 1e3 * statistics.median(s) / len(batches) for way, s in seconds.items()}, results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ROOT / "configs" / "camvid" / "unet_resnet18_20min.yaml"
    parser.add_argument("--config-file", default=default)
    parser.add_argument("--weights", default="", help="of a trained model")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()

    cfg = load_config(args.config_file, ["DATALOADER.NUM_WORKERS", "0", "MODEL.DEVICE", "cpu"])
    register_from_config(cfg)
    name, head = cfg.DATASETS.TEST[0], cfg.MODEL.SEM_SEG_HEAD
    model = build_model(cfg)
    if args.weights:
        load_weights(model, args.weights)
    batches = read_batches(cfg, name)
    evaluators = {
        "model alone": Nothing(),
        "usual": UsualEvaluator(head.NUM_CLASSES, head.IGNORE_VALUE),
        "fused": build_evaluator(cfg, name),
    }
    ms, results = measure(model, batches, evaluators, args.runs)
    alone = ms["model alone"]
    print(f"{name}, {len(batches)} images, {torch.get_num_threads()} threads, ms per image")
    print(f"  model alone {alone:.2f}")
    for way in ("usual", "fused"):
        miou = results[way]["sem_seg"]["mIoU"]
        print(f"  {way} {ms[way]:.2f} (evaluation {ms[way] - alone:.2f}), mIoU {miou:.4f}")
    print(
        f"  the whole loop is {ms['usual'] / ms['fused']:.2f}x as fast, its evaluation "
        f"{(ms['usual'] - alone) / (ms['fused'] - alone):.1f}x"
    )


if __name__ == "__main__":
    main()
