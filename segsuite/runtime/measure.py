"""How fast an exported file is, how much memory it takes, and what it predicts, measured in a
process of its own: ``python -m segsuite.runtime.measure FILE IMAGES OUT``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from segsuite.errors import UserError

from .images import read_image
from .model import ExportedModel
from .result import Result

T = TypeVar("T")
WARMUP = 3  # predictions that are not counted


def milliseconds(predict: Callable[[T], Any], images: Iterable[T]) -> list[float]:
    """The time of each prediction, one image after another, after some that warm up."""
    images = list(images)
    for i in range(WARMUP):
        predict(images[i % len(images)])
    times = []
    for image in images:
        start = time.perf_counter()
        predict(image)
        times.append(1e3 * (time.perf_counter() - start))
    return times


def peak_memory_mib() -> float | None:
    """The most memory that this process has had so far, in MiB; None where nothing tells.

    Not by getrusage: its figure starts at the memory of the process that has started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def save_arrays(path: Path, arrays: dict[str, np.ndarray | None]) -> None:
    """Keep what was predicted for one image, to be compared; masks as bits."""
    present: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    if "masks" in present:
        masks = present.pop("masks")
        present["masks_shape"] = np.array(masks.shape)
        present["masks_bits"] = np.packbits(masks)
    np.savez(path, **present)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `save_arrays` has kept."""
    with np.load(path) as content:
        arrays = dict(content)
    if "masks_bits" in arrays:
        shape = arrays.pop("masks_shape")
        bits = np.unpackbits(arrays.pop("masks_bits"), count=int(np.prod(shape)))
        arrays["masks"] = bits.reshape(shape).astype(bool)
    return arrays


def _arrays(result: Result) -> dict[str, np.ndarray | None]:
    names = ("labels", "confidence", "boxes", "scores", "classes", "masks", "panoptic")
    return {name: getattr(result, name) for name in names}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("images", help="JSON, a list of image files")
    parser.add_argument("out", type=Path, help="gets 0.npz, 1.npz, ... with the predictions")
    parser.add_argument("--device", default="")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args(words)
    start = time.perf_counter()
    model = ExportedModel(args.file, device=args.device, threads=args.threads)
    seconds = time.perf_counter() - start
    prepared = []
    for file in json.loads(Path(args.images).read_text()):
        pixels = read_image(file, model.metadata)
        prepared.append((model.prepare(pixels), (pixels.shape[0], pixels.shape[1])))
    times = milliseconds(lambda image: model.predict(*image), prepared)
    memory = peak_memory_mib()
    for number, image in enumerate(prepared):
        save_arrays(args.out / f"{number}.npz", _arrays(model.predict(*image)))
    figures = {
        "name": model.engine.name,
        "load_seconds": seconds,
        "milliseconds": times,
        "peak_memory_mib": memory,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
