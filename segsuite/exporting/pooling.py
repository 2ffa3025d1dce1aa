"""Adaptive average pooling in standard ONNX operators, for maps of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def pooling_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Translations for ``torch.onnx.export`` by the operators that they are of.

    The exporter's own needs to know the size of the map. A cell's mean is a sum of rows and columns
    with weights that are known from the size when the graph runs: two products of matrices.
    """
    import torch
    from onnxscript import opset18

    op: Any = opset18  # its types know tensors alone, and no arguments of the exporter

    def weights(size: Any, cells: int) -> Any:
        """(cells, size): cell i takes the mean of floor(i size / cells) up to, and without,
        ceil((i + 1) size / cells)."""
        cell = op.Constant(value_ints=list(range(cells)))
        count = op.Constant(value_ints=[cells])
        start = op.Div(op.Mul(cell, size), count)
        following = op.Mul(op.Add(cell, op.Constant(value_ints=[1])), size)
        end = op.Div(op.Add(following, op.Constant(value_ints=[cells - 1])), count)
        start, end = (op.Unsqueeze(edge, op.Constant(value_ints=[1])) for edge in (start, end))
        pixels = op.Range(op.Constant(value_int=0), op.Squeeze(size), op.Constant(value_int=1))
        inside = op.And(op.GreaterOrEqual(pixels, start), op.Less(pixels, end))
        return op.Div(op.Cast(inside, to=1), op.Cast(op.Sub(end, start), to=1))

    def adaptive_avg_pool2d(x: Any, output_size: Sequence[int]) -> Any:
        rows, columns = (
            op.CastLike(weights(op.Shape(x, start=axis, end=axis + 1), cells), x)
            for axis, cells in zip((2, 3), output_size, strict=True)
        )
        return op.MatMul(op.MatMul(rows, x), op.Transpose(columns, perm=[1, 0]))

    return {torch.ops.aten._adaptive_avg_pool2d.default: adaptive_avg_pool2d}
