"""Is an exported file what PyTorch's model is? Both are asked about the same images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segsuite.errors import RunError
from segsuite.modeling.exported.pt2 import TorchExportEngine
from segsuite.runtime import open_engine

from .graphs import Difference, ExportGraph

Run = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def compare_with_pytorch(
    graph: ExportGraph, path: Path, records: Iterable[dict[str, Any]]
) -> list[Difference]:
    """The largest of each difference between a file and PyTorch's model over some images.

    Args:
        records: as the mappers make them.

    Raises:
        RunError: a difference is beyond its bound.
    """
    run = open_file(path)
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


def open_file(path: Path) -> Run:
    """What runs an exported file: tensors by name to tensors by name."""
    engine = TorchExportEngine(path) if path.suffix == ".pt2" else open_engine(path)

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        arrays = engine.run({name: tensor.numpy() for name, tensor in inputs.items()})
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    return run
