"""`network_settings`: the configuration that builds the network of a file of weights."""

from __future__ import annotations

from collections.abc import Sequence

from ..convert.formats import Conversion, Settings
from .backbones import BackboneSettings, Weights, backbone_settings
from .heads import aux_settings, head_settings
from .regions import pyramid_settings, region_settings
from .timm_models import timm_settings

_BODIES = ("backbone.bottom_up.", "backbone.", "")


def network_settings(conversion: Conversion, timm_names: Sequence[str] = ()) -> Settings:
    """Keys of the configuration, and their values, with which a model of segsuite has the names and
    shapes of `conversion`'s weights, and computes what its library does.

    Args:
        timm_names: the models of timm's, where the backbone is one of them, see `timm_candidates`.
            The first counts.

    Returns:
        An empty dict if the network, or its backbone, is none of those that can be built; of a
        backbone alone its own keys.
    """
    if conversion.refused:
        return {}
    try:
        return _network_settings(conversion, timm_names)
    except (KeyError, IndexError):
        # A layer is missing, or of another kind: it only looks like a network that is built here.
        return {}


def _network_settings(conversion: Conversion, timm_names: Sequence[str]) -> Settings:
    weights = conversion.weights
    body = next(body for body in _BODIES if any(n.startswith(body) for n in weights))
    inside = _below(weights, body)
    backbone = timm_settings(timm_names[0]) if timm_names else backbone_settings(inside)
    if backbone is None:
        return {}
    settings: Settings = {
        "MODEL.BACKBONE.NAME": backbone.builder,
        "MODEL.BACKBONE.FREEZE_AT": 0,
        **backbone.settings,
    }
    if not body:
        settings |= backbone.returning(backbone.main_features())
    else:
        whole = _model_settings(weights, backbone)
        if whole is None:
            return {}
        settings |= whole
    settings |= conversion.settings
    return settings


def _model_settings(weights: Weights, backbone: BackboneSettings) -> Settings | None:
    """Those of all but the backbone; None if the head is not built here."""
    settings: Settings = {}
    head, aux = _below(weights, "sem_seg_head."), _below(weights, "aux_head.")
    if any(name.startswith("backbone.fpn_lateral") for name in weights):
        settings |= pyramid_settings(weights, backbone)
    if any(name.startswith("roi_heads.") for name in weights):
        if (
            "MODEL.FPN.IN_FEATURES" not in settings
            or "roi_heads.box_head.fc1.weight" not in weights
        ):
            return None  # heads on one feature, or in a cascade
        settings |= region_settings(weights)
    if not head:
        return settings or None
    found = head_settings(head, backbone)
    if found is None:
        return None
    is_panoptic = "MODEL.META_ARCHITECTURE" in settings
    settings["MODEL.META_ARCHITECTURE"] = "PanopticFPN" if is_panoptic else "SemanticSegmentor"
    settings |= found
    if _normed(head):
        settings["MODEL.UPERNET.FEATURE_NORM"] = "LN"
    if aux and "conv.weight" in aux:
        settings |= aux_settings(aux, backbone)
    if "MODEL.FPN.IN_FEATURES" not in settings:
        read = [
            *settings["MODEL.SEM_SEG_HEAD.IN_FEATURES"],
            *settings.get("MODEL.AUX_HEAD.IN_FEATURES", ()),
        ]
        settings |= backbone.returning(read)
    return settings


def _normed(head: Weights) -> bool:
    return "feature_norms.0.weight" in head


def _below(weights: Weights, prefix: str) -> Weights:
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
