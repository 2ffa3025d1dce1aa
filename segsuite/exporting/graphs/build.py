"""From a model to the graph that is exported of it."""

from __future__ import annotations

from torch import nn

from segsuite.config import CfgNode
from segsuite.errors import ConfigError
from segsuite.modeling import GeneralizedRCNN, PanopticFPN, SemanticSegmentor

from ..options import ExportOptions
from .base import ExportGraph
from .instances import InstancesGraph
from .panoptic import PanopticGraph
from .semantic import BareNetwork, SemanticGraph


def build_graph(cfg: CfgNode, model: nn.Module, options: ExportOptions) -> ExportGraph:
    """The graph of `model`, which `cfg` has built.

    Raises:
        ConfigError: there is none for this architecture, or not with these options.
    """
    if isinstance(model, SemanticSegmentor):
        _refuse(model, options, "pasted", "finds no instances to paste")
        return BareNetwork(model, options) if options.bare else SemanticGraph(model, options)
    if isinstance(model, GeneralizedRCNN):
        _refuse(model, options, "bare", "has no network that gives logits alone")
        _refuse(model, options, "logits", "gives labels and instances")
        if isinstance(model, PanopticFPN):
            return PanopticGraph(model, options)
        return InstancesGraph(model, options)
    raise ConfigError(
        f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} can't be exported: there are "
        "graphs for SemanticSegmentor, GeneralizedRCNN and PanopticFPN"
    )


def _refuse(model: nn.Module, options: ExportOptions, option: str, reason: str) -> None:
    if getattr(options, option):
        raise ConfigError(f"option {option}: a {type(model).__name__} {reason}; leave it out")
