"""From a model to the graph that is exported of it."""

from __future__ import annotations

from torch import nn

from segsuite.config import CfgNode
from segsuite.errors import ConfigError
from segsuite.modeling import SemanticSegmentor

from ..options import ExportOptions
from .base import ExportGraph
from .semantic import BareNetwork, SemanticGraph


def build_graph(cfg: CfgNode, model: nn.Module, options: ExportOptions) -> ExportGraph:
    """The graph of `model`, which `cfg` has built.

    Raises:
        ConfigError: there is none for this architecture, or not with these options.
    """
    if isinstance(model, SemanticSegmentor):
        if options.pasted:
            raise ConfigError(
                f"option pasted: a {type(model).__name__} finds no instances to paste; leave it out"
            )
        return BareNetwork(model, options) if options.bare else SemanticGraph(model, options)
    raise ConfigError(
        f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} can't be exported: there is a "
        "graph for SemanticSegmentor"
    )
