"""`accelerate`: the pass over a plain model that gives its modules faster ways to compute.

A module's ``forward`` is replaced on the instance, by an object that holds the module and returns
what its class would, to rounding. Nothing else changes: parameters, buffers and their names, the
training mode and the hooks are the module's own, so optimisers, checkpoints, averages of the
weights and DistributedDataParallel see the plain model.

Which way is faster is for the kernels' files to say: `winograd`, `depthwise`, `resize`; `conv`
puts them together with the norms that are folded into convolutions. `cuda_graph` is about what
launching the kernels costs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, pairwise

from torch import nn

from segsuite.layers import BilinearResize, Conv2d

from .conv import BatchNorm, InferenceConv, SkippedNorm, TrainingConv, is_foldable
from .cuda_graph import graph_methods
from .forward import AcceleratedForward, installed
from .resize import MatrixResize


def accelerate(model: nn.Module, *, inference: bool = False, cuda_graphs: int = 0) -> None:
    """Make `model` faster in place, with the same results to rounding.

    For training, on any device: a frozen batch norm becomes part of its convolution in every call,
    which spares reading and writing the output once more. On a CPU, outside of torch.compile and
    torch.export: depthwise convolutions have faster gradients; in float32 without autocast, 3x3
    convolutions of 256 channels and more take Winograd's algorithm, 16 products for 36, where maps
    are large enough and gradients are wanted; and losses resize logits by matrix products.

    With `inference`, in addition, for evaluation mode without gradients: every batch norm becomes
    part of the convolution before it (in a `Conv2d`, or next to it in an `nn.Sequential`), and
    weights are prepared once, transformed for Winograd's algorithm and cast for autocast. They
    are made when they are first used, and anew when the weights have changed, and take as much
    memory again as the weights themselves, for Winograd's algorithm 1.8 times as much;
    `accelerated` gives it back. In training mode, with gradients, when compiled or exported, and
    where a hook looks at what is between convolution and norm, such a model computes as one that is
    accelerated for training.

    With `cuda_graphs`, for evaluation mode without gradients on a CUDA device: the network from
    the images to its dense predictions is captured for shapes that come again, and then launched
    as one, see `segsuite.acceleration.cuda_graph.ReplayedMethod`. That is done for so many shapes
    at most; each keeps a copy of inputs and results, and all together the memory that the largest
    computes in.

    What is inside a module that is compiled (``module.compile()``) is left as it is: the compiler
    fuses by itself, and would have to compile again for each new way to compute.

    Copies of the model, shallow, deep or by pickle, are plain ones: accelerate them anew.

    A model that is accelerated already is accelerated anew, on its present weights. Of modules,
    those of exactly the types `Conv2d`, `torch.nn.Conv2d` and `BilinearResize` are touched,
    subclasses may compute something else; and none whose ``forward`` somebody else has replaced.

    Raises:
        ConfigError: `cuda_graphs` (TEST.CUDA_GRAPHS) is negative.
    """
    remove_acceleration(model)
    convs = _inference_convs(model) if inference else _training_convs(model)
    for forward in chain(_resizes(model), convs, graph_methods(model, cuda_graphs)):
        forward.install()


def remove_acceleration(model: nn.Module) -> None:
    """Make `model` the plain one that it was before `accelerate`."""
    for module in model.modules():
        for forward in installed(module):
            forward.remove()


@contextmanager
def accelerated(model: nn.Module, *, cuda_graphs: int = 0) -> Iterator[None]:
    """``accelerate(model, inference=True, cuda_graphs=cuda_graphs)`` for a while; afterwards
    `model` is as it was."""
    before = [forward for module in model.modules() for forward in installed(module)]
    accelerate(model, inference=True, cuda_graphs=cuda_graphs)
    try:
        yield
    finally:
        remove_acceleration(model)
        for forward in before:
            forward.install()


def _interpreted(model: nn.Module) -> list[nn.Module]:
    """The modules that are not compiled, by themselves or as part of another."""
    compiled = {
        inner
        for module in model.modules()
        if module._compiled_call_impl is not None
        for inner in module.modules()
    }
    return [module for module in model.modules() if module not in compiled]


def _resizes(model: nn.Module) -> Iterator[AcceleratedForward]:
    for module in _interpreted(model):
        if type(module) is BilinearResize and "forward" not in vars(module):
            yield MatrixResize(module)


def _convs(model: nn.Module) -> Iterator[nn.Conv2d]:
    for module in _interpreted(model):
        is_plain = type(module) in (Conv2d, nn.Conv2d) and "forward" not in vars(module)
        if is_plain and isinstance(module, nn.Conv2d):
            yield module


def _training_convs(model: nn.Module) -> Iterator[AcceleratedForward]:
    return (TrainingConv(conv) for conv in _convs(model) if TrainingConv.suits(conv))


def _next_norms(model: nn.Module) -> dict[nn.Module, BatchNorm]:
    """The batch norms in sequences by the modules before them, which no other module follows."""
    followers: dict[nn.Module, set[nn.Module]] = defaultdict(set)
    for module in model.modules():
        if isinstance(module, nn.Sequential):
            for first, second in pairwise(module):
                followers[first].add(second)
    # A convolution may be shared by sequences with a norm each.
    only = {first: second for first, (second, *others) in followers.items() if not others}
    return {first: second for first, second in only.items() if is_foldable(second)}


def _inference_convs(model: nn.Module) -> Iterator[AcceleratedForward]:
    next_norms = _next_norms(model)
    for conv in _convs(model):
        if isinstance(conv, Conv2d):
            yield InferenceConv(conv, conv.norm if is_foldable(conv.norm) else None)
        elif conv in next_norms:
            yield InferenceConv(conv, next_norms[conv])
            yield SkippedNorm(next_norms[conv], conv)
        else:
            yield InferenceConv(conv, None)
