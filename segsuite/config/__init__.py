"""Configuration: `CfgNode`, the defaults, plug-ins and `@configurable`."""

from .config import get_cfg, load_config
from .configurable import configurable
from .node import CfgNode

__all__ = ["CfgNode", "configurable", "get_cfg", "load_config"]
