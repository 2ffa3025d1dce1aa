"""`Backbone`: the contract between feature extractors and heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from segsuite.errors import ConfigError, UnknownNameError
from segsuite.layers import FrozenBatchNorm2d, ShapeSpec
from segsuite.utils.registry import unknown_name


class Backbone(nn.Module, ABC):
    """Turns images into named feature maps.

    A new backbone implements `forward`, says what its features are by `add_feature` (or fills
    `_out_features`, `_out_feature_channels` and `_out_feature_strides`, as backbones written for
    Detectron2 do), and lists its `stages` if they can be frozen.

    Attributes:
        size_divisibility: image sizes must be multiples of it; 0 when any size will do.
        hidden_settings: keys of the configuration, and their values, that change what is computed
            but no name and no shape of a parameter. Weights that were trained with other values are
            told when they are loaded; any module may have it.
        pretrained: the constructor loaded trained weights.
    """

    size_divisibility: int = 0
    pretrained: bool = False

    def __init__(self) -> None:
        super().__init__()
        # Detectron2's names: what is written for it reads and writes them.
        self._out_features: list[str] = []
        self._out_feature_channels: dict[str, int] = {}
        self._out_feature_strides: dict[str, int] = {}
        self.hidden_settings: dict[str, Any] = {}

    @abstractmethod
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """(N, C, H, W) -> {name: (N, channels, ceil(H / stride), ceil(W / stride))}."""

    @property
    def padding_constraints(self) -> Mapping[str, int]:
        """What batches are padded to besides: ``{"square_size": 1024}`` for squares of that many
        pixels, as of plain vision transformers in Detectron2."""
        return {}

    @property
    def out_features(self) -> list[str]:
        """Names of the features that `forward` returns, in its order."""
        return list(self._out_features or self._out_feature_strides)

    def choose_features(self, out_features: Sequence[str], known: Sequence[str]) -> list[str]:
        """Let `forward` return `out_features`.

        Args:
            known: names of all features there could be, in the order they are computed in.

        Returns:
            Those of `known` up to the last one asked for; what makes the others need not be built.

        Raises:
            UnknownNameError: a name is not in `known`.
            ConfigError: `out_features` is empty.
        """
        kind = type(self).__name__
        if not out_features:
            raise ConfigError(
                f"OUT_FEATURES of {kind} is empty; name one or more of {', '.join(known)}"
            )
        for name in out_features:
            if name not in known:
                raise UnknownNameError(
                    unknown_name(name, known, f"features of {kind} (OUT_FEATURES)")
                )
        self._out_features = list(out_features)
        return list(known[: 1 + max(map(known.index, out_features))])

    def add_feature(self, name: str, channels: int, stride: int) -> None:
        """Say what `name` is; `forward` returns every feature added unless it has a choice."""
        self._out_feature_channels[name] = channels
        self._out_feature_strides[name] = stride

    def chosen(self, features: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Those of all `features` that are to be returned."""
        return {name: features[name] for name in self.out_features}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each feature map that `forward` returns."""
        names = self.out_features
        if not names:
            raise NotImplementedError(
                f"{type(self).__name__} does not say what its features are: call "
                "self.add_feature(name, channels, stride) for each in the constructor"
            )
        return {
            name: ShapeSpec(self._out_feature_channels[name], self._out_feature_strides[name])
            for name in names
        }

    def stages(self) -> list[list[str]]:
        """What `freeze` counts, from the input on: for each stage the names of its submodules."""
        return []

    def blocks(self) -> list[str]:
        """Names of the submodules that hold most of the weights, and use them in their ``forward``
        alone, one submodule after another, each once a pass: the units of SOLVER.FSDP."""
        return []

    def names_of(self, *kinds: type[nn.Module]) -> list[str]:
        """Names of the submodules of these types."""
        return [name for name, module in self.named_modules() if isinstance(module, kinds)]

    def freeze(self, stages: int) -> None:
        """Fix the first `stages` stages, for good.

        Their parameters do not require gradients, and their batch norms become FrozenBatchNorm2d
        of the same names: running means and variances are constants that they normalise by in
        training too, and neither they nor scale and shift change but by loading weights. Norms
        without running statistics, dropout and stochastic depth work as before.

        Raises:
            ConfigError: a negative number, or more than there are stages.
        """
        known = self.stages()
        if 0 <= stages <= len(known):
            for name in (name for stage in known[:stages] for name in stage):
                self._freeze_layer(name)
            return
        kind = type(self).__name__
        if not known and stages > 0:
            expected = f"{kind} has no stages that can be frozen one by one: set it to 0"
        else:
            names = "; ".join(
                f"{number}: {', '.join(stage[:3])}{', ...' if len(stage) > 3 else ''}"
                for number, stage in enumerate(known, 1)
            )
            expected = f"expected 0 (nothing is frozen) to {len(known)}, the stages of {kind}" + (
                f" ({names})" if names else ""
            )
        raise ConfigError(f"MODEL.BACKBONE.FREEZE_AT is {stages}; {expected}")

    def _freeze_layer(self, name: str) -> None:
        layer = self.get_submodule(name).requires_grad_(False)
        frozen = FrozenBatchNorm2d.convert(layer)
        if frozen is not layer:
            parent, _, child = name.rpartition(".")
            self.get_submodule(parent).add_module(child, frozen)
