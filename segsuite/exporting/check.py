"""Is an exported file what PyTorch's model is? Both are asked about the same images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segsuite.errors import MissingPackageError, RunError

from .graphs import Difference, ExportGraph


def compare_with_pytorch(
    graph: ExportGraph, path: Path, records: Iterable[dict[str, Any]]
) -> list[Difference]:
    """The largest of each difference between a file and PyTorch's model over some images.

    Args:
        records: as the mappers make them.

    Raises:
        RunError: a difference is beyond its bound.
    """
    run = _open(path)
    largest: dict[str, Difference] = {}
    for record in records:
        outputs = run(graph.records_to_inputs(record))
        for difference in graph.compare(outputs, graph.reference(record)):
            before = largest.get(difference.what)
            if before is None or not difference.value <= before.value:
                largest[difference.what] = difference
    for difference in largest.values():
        if not difference.value <= difference.bound:
            raise RunError(
                f"the exported model is not PyTorch's: {difference.what} differs by up to "
                f"{difference.value:.3g}, more than {difference.bound:g}; no file was written"
            )
    return [*largest.values()]


def _open(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            "checking an ONNX file needs the package onnxruntime: pip install "
            '"segsuite-torch[export]"'
        ) from error
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        arrays = session.run(names, {name: t.numpy() for name, t in inputs.items()})
        return {name: torch.from_numpy(a) for name, a in zip(names, arrays, strict=True)}

    return run
