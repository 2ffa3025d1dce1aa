"""Mix Transformers, SegFormer's encoders (Xie et al. 2021, https://arxiv.org/abs/2105.15203)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import StochasticDepth

from segsuite.config import CfgNode, configurable
from segsuite.errors import UnknownNameError
from segsuite.layers import ShapeSpec
from segsuite.utils.registry import unknown_name

from .backbone import Backbone
from .build import BACKBONE_REGISTRY

_FEATURES = ("res2", "res3", "res4", "res5")
_SMALL, _LARGE = (32, 64, 160, 256), (64, 128, 320, 512)
# Channels and blocks of the four stages.
_VARIANTS = {
    "b0": (_SMALL, (2, 2, 2, 2)),
    "b1": (_LARGE, (2, 2, 2, 2)),
    "b2": (_LARGE, (3, 4, 6, 3)),
    "b3": (_LARGE, (3, 4, 18, 3)),
    "b4": (_LARGE, (3, 8, 27, 3)),
    "b5": (_LARGE, (3, 6, 40, 3)),
}
_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)


class MixTransformer(Backbone):
    """MiT-B0 to B5: four stages of attention whose keys and values are made coarser.

    Features, named as ResNet's of the same stride: "res2" (stride 4) to "res5" (32). Parameters are
    named as in the authors' checkpoints. There are no position embeddings; any image size will do.

    Args:
        variant: "b0" to "b5".
        out_features: names of the features to return.
        norm_eps: epsilon of the norms in the blocks and behind the stages: 1e-6 of the authors,
            1e-5 of Hugging Face's transformers.
        drop_path_rate: probability that the last block's branches are skipped for an image in
            training; it rises linearly from 0 at the first (Huang et al. 2016).
        freeze_at: stages frozen from the input on: 0 none, 1 the first patch embedding, 2 all of
            "res2", 3 of "res3" too, ... See `freeze`.

    Raises:
        UnknownNameError: unknown variant or feature.
    """

    @configurable
    def __init__(
        self,
        *,
        variant: str = "b0",
        in_channels: int = 3,
        out_features: Sequence[str] = _FEATURES,
        norm_eps: float = 1e-6,
        drop_path_rate: float = 0.1,
        freeze_at: int = 0,
    ):
        super().__init__()
        if variant not in _VARIANTS:
            raise UnknownNameError(unknown_name(variant, _VARIANTS, "variants of MixTransformer"))
        self.num_stages = len(self.choose_features(out_features, _FEATURES))
        channels, depths = _VARIANTS[variant]
        last = sum(depths) - 1
        rates = [drop_path_rate * block / last for block in range(last + 1)]
        for i in range(self.num_stages):
            kernel_size, stride = (7, 4) if i == 0 else (3, 2)
            embed = _PatchEmbed(in_channels, channels[i], kernel_size, stride)
            blocks = [
                _Block(channels[i], _HEADS[i], _REDUCTIONS[i], rates.pop(0), norm_eps)
                for _ in range(depths[i])
            ]
            self.add_module(f"patch_embed{i + 1}", embed)
            self.add_module(f"block{i + 1}", nn.Sequential(*blocks))
            self.add_module(f"norm{i + 1}", nn.LayerNorm(channels[i], eps=norm_eps))
            in_channels = channels[i]
            self.add_feature(_FEATURES[i], channels[i], 4 * 2**i)
        self.apply(_init_weights)
        self.hidden_settings = {"MODEL.MIT.NORM_EPS": norm_eps}
        self.freeze(freeze_at)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        c = cfg.MODEL.MIT
        return {
            "variant": c.VARIANT,
            "in_channels": input_shape.channels,
            "out_features": c.OUT_FEATURES,
            "norm_eps": c.NORM_EPS,
            "drop_path_rate": c.DROP_PATH_RATE,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = {}
        for i, name in enumerate(_FEATURES[: self.num_stages], 1):
            x = getattr(self, f"patch_embed{i}")(x)
            x = getattr(self, f"block{i}")(x)
            x = getattr(self, f"norm{i}")(x).permute(0, 3, 1, 2)
            features[name] = x
        return self.chosen(features)

    def stages(self) -> list[list[str]]:
        """The first patch embedding, its blocks ("res2"), then each further stage as a whole."""
        first, *others = (
            [f"{part}{i}" for part in ("patch_embed", "block", "norm")]
            for i in range(1, self.num_stages + 1)
        )
        return [first[:1], first[1:], *others]

    def blocks(self) -> list[str]:
        """The transformer blocks."""
        return self.names_of(_Block)


def _init_weights(module: nn.Module) -> None:
    """The authors' initialisation."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
        nn.init.zeros_(module.bias)


# Between here and there, tokens are (N, H, W, C): for convolutions, channels-last memory.


class _PatchEmbed(nn.Module):
    """Overlapping patches: (N, C, H, W) -> (N, ceil(H / stride), ceil(W / stride), C')."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int):
        super().__init__()
        self.proj = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2
        )
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class _Block(nn.Module):
    def __init__(
        self, channels: int, num_heads: int, reduction: int, drop_path: float, norm_eps: float
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=norm_eps)
        self.attn = _Attention(channels, num_heads, reduction)
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path > 0 else nn.Identity()
        self.norm2 = nn.LayerNorm(channels, eps=norm_eps)
        self.mlp = _MixFFN(channels, 4 * channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class _Attention(nn.Module):
    """Attention of all pixels to a map that is `reduction` times coarser."""

    def __init__(self, channels: int, num_heads: int, reduction: int):
        super().__init__()
        self.num_heads, self.reduction = num_heads, reduction
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, stride=reduction)
            self.norm = nn.LayerNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, height, width, channels = x.shape
        q = self._heads(self.q(x))
        if self.reduction > 1:
            x = x.permute(0, 3, 1, 2)
            # A map smaller than the stride would have no keys; larger ones are cut to a multiple,
            # as the authors' are.
            bottom, right = (max(self.reduction - size, 0) for size in (height, width))
            if bottom or right:
                x = F.pad(x, (0, right, 0, bottom))
            x = self.norm(self.sr(x).permute(0, 2, 3, 1))
        k, v = map(self._heads, self.kv(x).chunk(2, dim=-1))
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(n, height, width, channels))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, heads * C) -> (N, heads, H * W, C)."""
        return x.flatten(1, 2).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class _MixFFN(nn.Module):
    """Two linear layers with a depthwise 3x3 convolution between, which tells positions apart."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        # The authors' checkpoints have it one level down.
        self.dwconv = nn.ModuleDict(
            {"dwconv": nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)}
        )
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dwconv["dwconv"](self.fc1(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.fc2(F.gelu(x))


@BACKBONE_REGISTRY.register()
def build_mit_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> MixTransformer:
    """Mix Transformer from ``MODEL.MIT`` and ``MODEL.BACKBONE.FREEZE_AT``."""
    return MixTransformer(cfg, input_shape)
