"""PyTorch's own format of exported programs, ``.pt2``."""

from __future__ import annotations

from pathlib import Path

import torch

from segsuite.runtime import ExportMetadata
from segsuite.runtime.metadata import PT2_EXTRA_FILE

from .graphs import ExportGraph
from .tracing import silenced, trace


def write_torch_export(graph: ExportGraph, path: Path, metadata: ExportMetadata) -> None:
    """Write a graph to a ``.pt2``, which `torch.export.load` reads.

    Raises:
        ConfigError: the graph can't be exported; see `trace`.
    """
    program = trace(graph)
    with silenced():
        torch.export.save(program, path, extra_files={PT2_EXTRA_FILE: metadata.to_json()})
