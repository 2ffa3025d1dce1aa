"""Which of timm's models weights are of."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import Any

import torch

from .backbones import BackboneSettings, Weights

# A name that weights of the family have, without underscores, and timm's names for the family.
_FAMILIES = (
    (r"stages\.0\.blocks\.0\.mlp\.grn\.", ("convnextv2_*",)),
    (r"stages\.0\.blocks\.0\.conv\.dw\.", ("convnext_*",)),
    (r"layers\.0\.blocks\.0\.attn\.logit\.scale", ("swinv2_*",)),
    (r"layers\.0\.blocks\.0\.attn\.relative\.position\.bias\.table", ("swin_*", "swin_s3*")),
    (r"blocks\.0\.ls1\.gamma", ("vit_*dinov2*", "deit3_*")),
    (r"blocks\.0\.attn\.qkv\.", ("vit_*_patch*_???", "deit_*", "vit_*dino*")),
    (r"stages\.0\.blocks\.0\.attn\.kv\.", ("pvt_v2_*",)),
    (r"conv\.stem\.weight", ("efficientnet*", "tf_efficientnet*", "mobilenet*", "mnasnet*")),
    (r"s1\.b1\.conv1\.conv\.", ("regnet*",)),
    (r"features\.denseblock1\.", ("densenet*",)),
    (r"layer1\.0\.se\.", ("seresne*", "ecaresne*", "resnetrs*")),
    (r"layer1\.0\.conv1\.", ("resnet*", "resnext*", "wide_resnet*")),
    (r"stage2\.0\.branches\.", ("hrnet_w*",)),
    (r"features\.0\.weight", ("vgg*",)),
)


@lru_cache
def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names, dots for underscores, and shapes of the weights of timm's `name` as a backbone."""
    import timm

    with torch.device("meta"):
        try:
            net = timm.create_model(name, features_only=True)
        except Exception:  # timm's, of many kinds: it gives no features
            return {}
    return {
        _dotted(key.removeprefix("model.")): tuple(tensor.shape)
        for key, tensor in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }


def _dotted(name: str) -> str:
    return name.replace("_", ".")


def timm_candidates(weights: Weights) -> list[str]:
    """timm's models, as they can be backbones, all of whose weights are in `weights` with their
    shapes; the likeliest first. Several are of the same shapes and compute different things.

    Args:
        weights: without a prefix.
    """
    try:
        import timm
    except ImportError:
        return []
    given = {_dotted(n): tuple(w.shape) for n, w in weights.items()}
    text = "\n".join(given)
    patterns: tuple[str, ...] = next(
        (names for mark, names in _FAMILIES if re.search(rf"^{mark}", text, re.M)), ()
    )
    names = [n for n in timm.list_models() if any(fnmatch.fnmatch(n, p) for p in patterns)]
    found = []
    for name in names:
        shapes = _shapes(name)
        # The deepest stages may be left out there, never here.
        if shapes and all(given.get(key) == shape for key, shape in shapes.items()):
            found.append((len(shapes), name))
    most = max((size for size, _ in found), default=0)
    equal = [name for size, name in found if size == most]
    return sorted(equal, key=lambda name: (name.startswith("tf_"), len(name), name))


def timm_settings(name: str) -> BackboneSettings:
    """The settings of timm's `name`."""
    import timm

    with torch.device("meta"):
        info: Any = timm.create_model(name, features_only=True).feature_info
    names = [f"f{i}" for i in info.out_indices]
    return BackboneSettings(
        "build_timm_backbone",
        {"MODEL.TIMM.NAME": name},
        dict(zip(names, info.channels(), strict=True)),
        dict(zip(names, info.reduction(), strict=True)),
        "MODEL.TIMM.OUT_INDICES",
    )
