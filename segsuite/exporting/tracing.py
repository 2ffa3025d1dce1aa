"""From a graph to PyTorch's exported program, and errors of the exporters in one message."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator

import torch
from torch import nn

from segsuite.errors import ConfigError

from .graphs import ExportGraph

_LONGEST_REASON = 300


def trace(graph: ExportGraph) -> torch.export.ExportedProgram:
    """The program of a graph, on its example.

    Raises:
        ConfigError: the graph does something that can't be exported; names the module.
    """
    example = graph.example()
    advice = ". Where sizes are what it is about, one size may do: --size HxW (size=(H, W))"
    with explaining(graph, advice="" if graph.options.size else advice), torch.no_grad():
        return torch.export.export(
            graph, tuple(example.values()), dynamic_shapes=graph.dynamic_shapes(), strict=False
        )


@contextlib.contextmanager
def explaining(
    graph: nn.Module, program: torch.export.ExportedProgram | None = None, advice: str = ""
) -> Iterator[None]:
    """Errors of exporters as one message, with the module that they are about; and their other
    output not at all.

    Args:
        program: of the graph, where it has been traced.
        advice: ends the message.
    """
    path: list[str] = []
    handles = []
    names = {module: name for name, module in graph.named_modules()}

    def enter(module: nn.Module, _: object) -> None:
        path.append(names[module])

    def leave(module: nn.Module, *_: object) -> None:
        path.pop()

    for module in graph.modules():
        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave))
    try:
        with silenced():
            yield
    except Exception as error:
        reason = _reason(error)
        where = path[-1] if path else _module_of_operator(program, reason)
        kind = type(graph.get_submodule(where)).__name__
        raise ConfigError(
            f"the model can't be exported: {f'{where} ({kind})' if where else kind} does what the "
            f"exporter of PyTorch {torch.__version__} does not take: {reason}{advice}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Without what exporters print and warn of; their errors are raised as ever."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """What the first of a chain of errors says, without its listings of code."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip()
    return text.splitlines()[0][:_LONGEST_REASON] if text else type(error).__name__


def _module_of_operator(program: torch.export.ExportedProgram | None, reason: str) -> str:
    """The name of the module that the first operator is of that a message names; "": of none."""
    # "prims.bessel_j1" is what "aten.special_bessel_j1.default" was decomposed into.
    names = re.findall(r"op='\w+\.(\w+)'", reason)
    for node in () if program is None else program.graph.nodes:
        stack = node.meta.get("nn_module_stack")
        if stack and any(name in str(node.target) for name in names):
            return [*stack.values()][-1][0]
    return ""
