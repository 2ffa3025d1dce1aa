"""Models by name: what there is, new ones on any backbone, trained ones."""

from .backbones import backbone_names, find_backbone
from .create import create_model, model_config
from .table import ModelInfo, find_model, list_models
from .trained import load, override_list

__all__ = [
    "ModelInfo",
    "backbone_names",
    "create_model",
    "find_backbone",
    "find_model",
    "list_models",
    "load",
    "model_config",
    "override_list",
]
