"""Configuration: `CfgNode`, the defaults, plug-ins, `@configurable`, lists of components."""

from .config import get_cfg, load_config
from .configurable import configurable
from .entries import build_entry, read_arguments, read_entries
from .node import CfgNode, one_of, optional

__all__ = [
    "CfgNode",
    "build_entry",
    "configurable",
    "get_cfg",
    "load_config",
    "one_of",
    "optional",
    "read_arguments",
    "read_entries",
]
