"""From a model to the graph that is exported of it."""

from __future__ import annotations

from torch import nn

from segsuite.config import CfgNode
from segsuite.errors import ConfigError
from segsuite.modeling import GeneralizedRCNN, PanopticFPN, SemanticSegmentor
from segsuite.modeling.backbone import TimmBackbone

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
    if options.size is None:
        _check_any_size(model)
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


def _check_any_size(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, TimmBackbone) and "swin" in module.net_name:
            raise ConfigError(
                f"the backbone '{module.net_name}' of timm can't be exported for images of any "
                "size: how its windows of attention lie depends on it. Fix the size: --size HxW "
                "(size=(height, width)), such as 512x512"
            )


def _refuse(model: nn.Module, options: ExportOptions, option: str, reason: str) -> None:
    if getattr(options, option):
        raise ConfigError(f"option {option}: a {type(model).__name__} {reason}; leave it out")
