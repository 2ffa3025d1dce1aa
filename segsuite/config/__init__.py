"""Configuration: `CfgNode`, the defaults, plug-ins, `@configurable`, lists of components."""

from .config import get_cfg, load_config
from .configurable import configurable
from .entries import build_entry, read_arguments, read_entries
from .node import CfgNode, optional

__all__ = [
    "CfgNode",
    "build_entry",
    "configurable",
    "get_cfg",
    "load_config",
    "optional",
    "read_arguments",
    "read_entries",
]
