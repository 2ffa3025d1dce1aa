"""`segsuite.runtime.measure` for a model that PyTorch runs, in a process of its own:
``python -m segsuite.profiling.measure CONFIG IMAGES OUT``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from segsuite.acceleration import accelerate
from segsuite.config import load_config
from segsuite.data import ImageReader, InferenceMapper, register_from_config
from segsuite.errors import UserError
from segsuite.modeling import ExportedSegmentor, build_inference, build_model
from segsuite.runs.weights import load_trained_weights
from segsuite.runtime.measure import milliseconds, peak_memory_mib, save_arrays
from segsuite.structures import as_sem_seg


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("images", help="JSON, a list of image files")
    parser.add_argument("out", type=Path, help="gets 0.npz, 1.npz, ... with the predictions")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args(words)
    if args.threads:
        torch.set_num_threads(args.threads)
    cfg = load_config(args.config)
    start = time.perf_counter()
    register_from_config(cfg)
    model = build_model(cfg).eval()
    load_trained_weights(model, cfg)
    accelerate(model, inference=True)
    inference = build_inference(cfg, model)
    seconds = time.perf_counter() - start
    reader, mapper = ImageReader(cfg), InferenceMapper(cfg)
    records = [mapper(reader.read(file)) for file in json.loads(Path(args.images).read_text())]

    def predict(record: dict[str, Any]) -> dict[str, Any]:
        (outputs,) = inference([record])
        if "sem_seg" in outputs:  # what a file gives: at the size of the image
            prediction = as_sem_seg(outputs["sem_seg"])
            outputs = {**outputs, "labels": prediction.labels()}
            outputs["confidence"] = prediction.confidence()
        return outputs

    with torch.inference_mode():
        times = milliseconds(predict, records)
        memory = peak_memory_mib()
        for number, record in enumerate(records):
            save_arrays(args.out / f"{number}.npz", _arrays(predict(record)))
    name = f"PyTorch {torch.__version__.partition('+')[0]}, {cfg.MODEL.META_ARCHITECTURE}"
    figures = {
        "name": model.engine.name if isinstance(model, ExportedSegmentor) else name,
        "load_seconds": seconds,
        "milliseconds": times,
        "peak_memory_mib": memory,
    }
    print(json.dumps(figures))


def _arrays(outputs: dict[str, Any]) -> dict[str, Any]:
    tensors = {name: outputs.get(name) for name in ("labels", "confidence")}
    if "instances" in outputs:
        instances = outputs["instances"]
        tensors["boxes"] = instances.pred_boxes.tensor
        tensors["scores"], tensors["classes"] = instances.scores, instances.pred_classes
        if instances.has("pred_masks"):
            tensors["masks"] = instances.pred_masks.tensor
    if "panoptic_seg" in outputs:
        tensors["panoptic"] = outputs["panoptic_seg"][0]
    return {k: None if v is None else v.cpu().numpy() for k, v in tensors.items()}


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
