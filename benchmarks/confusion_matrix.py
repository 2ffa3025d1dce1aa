"""Speed and memory of the confusion matrix operators beside what is usually done.

    python benchmarks/confusion_matrix.py [--repetitions 15] [--json results.json]

Each operator and the usual ways run by turns in this one process, with all of PyTorch's threads,
and the medians are compared. The usual way from logits is F.interpolate, argmax, numpy.bincount, as
in Detectron2's evaluator; that of label maps one bincount of PyTorch's or numpy's.

"smooth" logits are random fields of the size of objects, whose share of uniform cells (source
pixels where the four neighbouring labels agree) is printed; predictions of trained networks have
0.8 to 0.95. "noise" has none, the worst case. Extra memory is the growth of the process's peak
resident size during one call.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from timing import median_milliseconds
from torch import Tensor

from segsuite.ops import confusion_matrix, confusion_matrix_from_logits, extension_status

# classes, logits' height and width, output's height and width
CASES = ((19, 128, 256, 1024, 2048), (150, 128, 171, 512, 683), (21, 65, 65, 513, 513))
IGNORE = 255


def smooth_fields(num_classes: int, height: int, width: int, scale: float = 16) -> Tensor:
    """Random logits (1, K, height, width) that vary over about `scale` pixels."""
    coarse = torch.randn(1, num_classes, round(height / scale) + 2, round(width / scale) + 2)
    return 3 * F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)


def random_noise(num_classes: int, height: int, width: int) -> Tensor:
    """Independent random logits (1, K, height, width)."""
    return torch.randn(1, num_classes, height, width)


def uniform_share(logits: Tensor) -> float:
    """The share of cells whose four corners have the same label."""
    labels = logits.argmax(1)
    a, b = labels[:, :-1, :-1], labels[:, :-1, 1:]
    c, d = labels[:, 1:, :-1], labels[:, 1:, 1:]
    return ((a == b) & (a == c) & (a == d)).float().mean().item()


def with_numpy(pred: np.ndarray, target: np.ndarray, num_classes: int) -> np.ndarray:
    target = np.where(target == IGNORE, num_classes, target)
    entry = (num_classes + 1) * pred.reshape(-1).astype(np.int64) + target.reshape(-1)
    return np.bincount(entry, minlength=(num_classes + 1) ** 2)


def with_torch(pred: Tensor, target: Tensor, num_classes: int) -> Tensor:
    counted = target != IGNORE
    entry = num_classes * target[counted].long() + pred[counted]
    return torch.bincount(entry, minlength=num_classes**2)


def usual_from_logits(logits: Tensor, target: Tensor, num_classes: int) -> np.ndarray:
    full = F.interpolate(logits, size=target.shape[1:], mode="bilinear", align_corners=False)
    return with_numpy(full.argmax(1).numpy(), target.numpy(), num_classes)


def peak_growth_mb(run: Callable[[], object]) -> float | None:
    """Growth of the peak resident size during `run`; None where the system cannot tell."""
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    try:
        clear.write_text("5")  # resets the peak
    except OSError:
        return None
    start = _status_mb(status, "VmRSS")
    run()
    return _status_mb(status, "VmHWM") - start


def _status_mb(status: Path, key: str) -> float:
    line = next(line for line in status.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024


def from_logits(repetitions: int) -> list[dict]:
    rows = []
    for num_classes, h, w, *size in CASES:
        target = smooth_fields(num_classes, *size, size[0] / 8).argmax(1)
        target[torch.rand(target.shape) < 0.02] = IGNORE
        for kind in ("smooth", "noise"):
            random = smooth_fields if kind == "smooth" else random_noise
            case = f"{num_classes} classes {h}x{w} -> {size[0]}x{size[1]} {kind}"
            rows.append({"case": case, **compare(random(num_classes, h, w), target, repetitions)})
    return rows


def compare(logits: Tensor, target: Tensor, repetitions: int) -> dict:
    """The usual way, and the operator with other types of target and layouts of logits."""
    k, small = logits.shape[1], target.byte()
    channels_last = logits.contiguous(memory_format=torch.channels_last)
    ways = {
        "usual": lambda: usual_from_logits(logits, target, k),
        "int64": lambda: confusion_matrix_from_logits(logits, target, k),
        "uint8": lambda: confusion_matrix_from_logits(logits, small, k),
        "channels_last": lambda: confusion_matrix_from_logits(channels_last, small, k),
    }
    return {
        "uniform cells": uniform_share(logits),
        **median_milliseconds(ways, repetitions),
        "usual MB": peak_growth_mb(ways["usual"]),
        "MB": peak_growth_mb(ways["uint8"]),
    }


def label_maps(repetitions: int, num_classes: int = 19) -> list[dict]:
    rows = []
    shape = (1024, 2048)
    for name in ("smooth", "noise"):
        if name == "smooth":
            target, pred = (smooth_fields(num_classes, *shape, 128).argmax(1) for _ in range(2))
        else:
            target, pred = (torch.randint(0, num_classes, (1, *shape)) for _ in range(2))
        for dtype in (torch.uint8, torch.int64):
            p, t = pred.to(dtype), target.to(dtype)
            ways = {
                "torch": lambda p=p, t=t: with_torch(p, t, num_classes),
                "numpy": lambda p=p, t=t: with_numpy(p.numpy(), t.numpy(), num_classes),
                "segsuite": lambda p=p, t=t: confusion_matrix(p, t, num_classes),
                "read once": lambda p=p, t=t: (
                    p.view(torch.int64).sum(),
                    t.view(torch.int64).sum(),
                ),
            }
            case = f"label maps {shape[0]}x{shape[1]} {str(dtype)[6:]} {name}"
            rows.append({"case": case, **median_milliseconds(ways, repetitions)})
    return rows


def _megabytes(value: float | None) -> str:
    return f"{'-':>9}" if value is None else f"{value:9.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, extension {extension_status()}\n")

    logits_rows = from_logits(args.repetitions)
    columns = ("uniform", "usual ms", "int64 ms", "faster", "uint8 ms", "faster", "NHWC ms")
    print(f"{'from logits':<42}" + "".join(f"{name:>9}" for name in (*columns, "usual MB", "MB")))
    for row in logits_rows:
        usual = row["usual"]
        print(
            f"{row['case']:<42}{row['uniform cells']:9.2f}{usual:9.1f}{row['int64']:9.2f}"
            f"{usual / row['int64']:8.0f}x{row['uint8']:9.2f}{usual / row['uint8']:8.0f}x"
            f"{row['channels_last']:9.2f}{_megabytes(row['usual MB'])}{_megabytes(row['MB'])}"
        )

    label_rows = label_maps(args.repetitions)
    columns = ("torch ms", "numpy ms", "ms", "read ms", "x torch", "x numpy")
    print(f"\n{'label maps':<42}" + "".join(f"{name:>10}" for name in columns))
    for row in label_rows:
        ours = row["segsuite"]
        print(
            f"{row['case']:<42}{row['torch']:10.1f}{row['numpy']:10.1f}{ours:10.2f}"
            f"{row['read once']:10.2f}{row['torch'] / ours:9.1f}x{row['numpy'] / ours:9.1f}x"
        )
    if args.json:
        args.json.write_text(json.dumps(logits_rows + label_rows, indent=1))


if __name__ == "__main__":
    main()
