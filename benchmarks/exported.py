"""Latency of exported models beside PyTorch, the table of docs/export.md.

    python benchmarks/exported.py [--models unet lraspp ...] [--size H W] [--repetitions R]
        [--threads T] [--folder F]

Models have random weights; each is exported to ONNX and OpenVINO in float32 (which compares it with
PyTorch first), any batch and any size. PyTorch's is accelerated as by Predictor and the evaluation
loop, in channels-last memory. The three take turns in this one process, on one image of H x W
pixels: uint8 in; labels and confidence at the image's size out, or boxes, scores, classes and
masks. What is printed are medians in milliseconds. Mask R-CNN gives its full number of detections,
since its score threshold is 0.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from timing import median_milliseconds

import segsuite
from segsuite.acceleration import accelerate
from segsuite.config import CfgNode, load_config
from segsuite.errors import UserError
from segsuite.modeling import build_model
from segsuite.runtime import ExportedModel
from segsuite.structures import as_sem_seg

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "_base_"
_SEMANTIC = ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", 19]
# What the table calls it, its recipe, and settings.
MODELS = {
    "unet": ("U-Net, ResNet-18", "unet_resnet", _SEMANTIC),
    "lraspp": ("LR-ASPP, MobileNetV3-Large", "lraspp", _SEMANTIC),
    "deeplab": ("DeepLabV3+, ResNet-50", "deeplab_v3_plus", _SEMANTIC),
    "segformer": ("SegFormer-B0", "segformer", _SEMANTIC),
    "mask_rcnn": (
        "Mask R-CNN, ResNet-50-FPN",
        "mask_rcnn",
        ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0],
    ),
}
FORMATS = {"ONNX Runtime": ("onnx", ".onnx"), "OpenVINO": ("openvino", "")}


def configuration(name: str, folder: Path) -> CfgNode:
    """Of a model with random weights, which are written to a file."""
    _, recipe, settings = MODELS[name]
    own = ["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.FREEZE_AT", 0, "MODEL.WEIGHTS", ""]
    own += ["INPUT.MIN_SIZE_TEST", 0, "OUTPUT_DIR", str(folder)]
    cfg = load_config(CONFIGS / f"{recipe}.yaml", [*own, *settings])
    torch.manual_seed(0)
    torch.save({"model": build_model(cfg).state_dict()}, folder / f"{name}.pth")
    cfg.MODEL.WEIGHTS = str(folder / f"{name}.pth")
    return cfg


def measure(name: str, args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Median milliseconds by what runs it."""
    cfg = configuration(name, folder)
    model = build_model(cfg).eval()
    model.load_state_dict(torch.load(cfg.MODEL.WEIGHTS, weights_only=True)["model"])
    accelerate(model, inference=True)
    image = np.random.default_rng(0).integers(0, 256, (3, *args.size), dtype=np.uint8)
    record = {"image": torch.from_numpy(image)}

    def pytorch() -> object:
        with torch.inference_mode():
            (outputs,) = model([record])
            if "sem_seg" not in outputs:
                return outputs
            prediction = as_sem_seg(outputs["sem_seg"])
            return prediction.labels(), prediction.confidence()

    ways = {"PyTorch": pytorch}
    for runtime, (format, suffix) in FORMATS.items():
        path = folder / f"{name}_{format}{suffix}"
        try:
            if not path.exists():
                segsuite.export(cfg, path, format=format)
            exported = ExportedModel(path, threads=args.threads)
        except UserError as error:
            print(f"{name}: {error}")
            continue
        ways[runtime] = lambda e=exported: e.predict(image, tuple(args.size))
    return median_milliseconds(ways, args.repetitions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--size", nargs=2, type=int, default=[512, 512], metavar=("H", "W"))
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the exported files here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(
        f"| ms, {args.size[0]} x {args.size[1]}, {args.threads} threads | PyTorch | "
        f"{' | '.join(FORMATS)} |\n|---|{'---|' * (1 + len(FORMATS))}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in args.models:
            times = measure(name, args, folder)
            cells = [f"{times[k]:.1f}" if k in times else "-" for k in ("PyTorch", *FORMATS)]
            print(f"| {MODELS[name][0]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
