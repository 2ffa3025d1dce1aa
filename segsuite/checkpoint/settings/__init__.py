"""What configuration the network in a file of weights has."""

from .backbones import backbone_settings
from .network import network_settings
from .text import settings_text
from .timm_models import timm_candidates

__all__ = ["backbone_settings", "network_settings", "settings_text", "timm_candidates"]
