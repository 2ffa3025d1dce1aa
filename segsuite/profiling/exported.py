"""Exported files beside PyTorch on the same images: time, memory, and what they say differently."""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segsuite.config import CfgNode
from segsuite.data import get_records, register_from_config
from segsuite.errors import ConfigError, RunError
from segsuite.runs import RunFiles, exported_config
from segsuite.runtime import read_metadata
from segsuite.runtime.measure import load_arrays
from segsuite.runtime.metadata import file_sha256, model_file

logger = logging.getLogger(__name__)

_SAME_IOU = 0.99


def benchmark_exported(
    files: Sequence[str | os.PathLike[str]],
    cfg: CfgNode,
    *,
    model: CfgNode | None,
    images: int = 50,
    threads: int = 0,
) -> list[dict[str, Any]]:
    """Predict images, one after another, by PyTorch's model and by exported files.

    Each is measured in a process of its own, that of a file without PyTorch where it needs none;
    times are of the graph and what follows it, without reading and resizing the image.

    Args:
        files: exported files.
        cfg: names the data set: the first of DATASETS.TEST.
        model: of PyTorch's model, with its weights; None: the files are measured alone, and
            compared with the first of them.
        images: how many of the data set's first images are predicted.
        threads: of one operator; 0: as many as there are cores.

    Returns:
        For PyTorch and each file ``name``, ``file``, ``images``, ``median_ms``, ``p95_ms``,
        ``images_per_second``, ``load_seconds``, ``peak_memory_mib`` of the process, and, but for
        the first, ``difference``, see `difference`.

    Raises:
        ConfigError: DATASETS.TEST is empty.
        RunError: one can't be measured; the message says why.
    """
    if not cfg.DATASETS.TEST:
        raise ConfigError(
            "no images to predict: set DATASETS.TEST, or name the run or the configuration that "
            "the file was exported from: --run-dir RUN, --config-file FILE"
        )
    register_from_config(cfg)
    records = get_records(cfg.DATASETS.TEST[0])
    names = [records[i]["file_name"] for i in range(min(images, len(records)))]
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "images.json").write_text(json.dumps([os.path.abspath(n) for n in names]))
        measured = [] if model is None else [_pytorch(model, folder, threads)]
        if model is not None:
            for file in files:
                _compare_weights(file, model)
        measured += [_exported(file, folder, threads) for file in files]
        for command, out, file in measured:
            found = _run(command, out)
            if figures:
                found["difference"] = difference(measured[0][1], out, len(names))
            figures.append({"file": file, "images": len(names), **found})
    return figures


def difference(reference: Path, other: Path, count: int) -> dict[str, float]:
    """How far the predictions in two folders of `save_arrays` agree.

    Returns:
        ``equal_labels``, the share of the pixels in percent, and ``confidence``, the largest
        difference; ``matched_instances``, the share in percent of those that have a counterpart of
        their class with an IoU above 0.99 of boxes, and of masks where there are any, and
        ``scores``, the largest difference of these; ``equal_segments``, the share of pixels in
        percent. What the model does not give is left out.
    """
    pairs = [
        tuple(load_arrays(folder / f"{i}.npz") for folder in (reference, other))
        for i in range(count)
    ]
    found: dict[str, float] = {}
    for name, key in (("labels", "equal_labels"), ("panoptic", "equal_segments")):
        equal = [(a[name] == b[name]).mean() for a, b in pairs if name in a and name in b]
        if equal:
            found[key] = 100 * float(np.mean(equal))
    confidence = [
        float(np.abs(a["confidence"] - b["confidence"]).max(initial=0))
        for a, b in pairs
        if "confidence" in a and "confidence" in b
    ]
    if confidence:
        found["confidence"] = max(confidence)
    if "boxes" in pairs[0][0] and "boxes" in pairs[0][1]:
        matches = [_matches(a, b) for a, b in pairs]
        total = sum(max(len(a["boxes"]), len(b["boxes"])) for a, b in pairs)
        scores = [gap for of_image in matches for gap in of_image]
        found["matched_instances"] = 100 * len(scores) / total if total else 100.0
        found["scores"] = max(scores, default=0.0)
    return found


def _matches(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> list[float]:
    """The differences of the scores of instances that are the same in both."""
    gaps, free = [], set(range(len(b["boxes"])))
    for i in range(len(a["boxes"])):
        for j in sorted(free):
            if a["classes"][i] == b["classes"][j] and _are_same(a, b, i, j):
                free.remove(j)
                gaps.append(float(abs(a["scores"][i] - b["scores"][j])))
                break
    return gaps


def _are_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray], i: int, j: int) -> bool:
    low, high = np.maximum(a["boxes"][i], b["boxes"][j]), np.minimum(a["boxes"][i], b["boxes"][j])
    overlap = np.prod((high[2:] - low[:2]).clip(0))
    areas = [np.prod(x["boxes"][k][2:] - x["boxes"][k][:2]) for x, k in ((a, i), (b, j))]
    if overlap <= _SAME_IOU * (sum(areas) - overlap):
        return False
    if "masks" not in a or "masks" not in b:
        return True
    union = (a["masks"][i] | b["masks"][j]).sum()
    return bool((a["masks"][i] & b["masks"][j]).sum() >= _SAME_IOU * union)


_Measured = tuple[list[str], Path, str]


def _pytorch(cfg: CfgNode, folder: Path, threads: int) -> _Measured:
    out, config = folder / "pytorch", folder / "pytorch.yaml"
    out.mkdir()
    cfg = cfg.clone()
    cfg.defrost()
    # Of modules that a run names, those that somebody has asked for.
    cfg.PLUGINS = type(cfg.PLUGINS)(name for name in cfg.PLUGINS if name in sys.modules)
    config.write_text(cfg.dump())
    words = ["segsuite.profiling.measure", str(config), str(folder / "images.json"), str(out)]
    return [*words, "--threads", str(threads)], out, ""


def _exported(file: str | os.PathLike[str], folder: Path, threads: int) -> _Measured:
    read_metadata(file)  # says at once what is wrong with it
    path = model_file(file)
    assert path is not None
    number = len(list(folder.glob("exported_*")))
    out = folder / f"exported_{number}"
    out.mkdir()
    images = str(folder / "images.json")
    if path.suffix != ".pt2":
        words = ["segsuite.runtime.measure", str(path), images, str(out)]
        return [*words, "--threads", str(threads)], out, str(file)
    config = folder / f"exported_{number}.yaml"
    config.write_text(exported_config(path.absolute()).dump())
    words = ["segsuite.profiling.measure", str(config), images, str(out)]
    return [*words, "--threads", str(threads)], out, str(file)


def _run(words: Iterable[str], out: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise RunError(lines[-1].removeprefix("error: "))
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    times = sorted(measured.pop("milliseconds"))
    return {
        **measured,
        "median_ms": statistics.median(times),
        "p95_ms": times[min(int(0.95 * len(times)), len(times) - 1)],
        "images_per_second": 1e3 * len(times) / sum(times),
    }


def _compare_weights(file: str | os.PathLike[str], cfg: CfgNode) -> None:
    """Say if a file was exported from other weights than those it is compared with."""
    files = RunFiles(cfg.OUTPUT_DIR)
    candidates = (Path(cfg.MODEL.WEIGHTS or "."), files.final, files.best)
    weights = next((path for path in candidates if path.is_file()), None)
    noted = read_metadata(file).weights_sha256
    if weights is not None and noted and file_sha256(weights) != noted:
        logger.warning(
            "%s was exported from other weights than %s: outputs will differ", file, weights
        )
