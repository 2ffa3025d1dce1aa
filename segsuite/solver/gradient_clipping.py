"""Gradient clipping: by value, by the norm of each parameter, by the norm of the whole model."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from segsuite.config import CfgNode
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.utils.registry import unknown_name

GradientClipper = Callable[[Iterable[nn.Parameter]], None]


def build_gradient_clipper(cfg: CfgNode) -> GradientClipper | None:
    """The function that clips the ``.grad`` of parameters as SOLVER.CLIP_GRADIENTS says.

    "value" limits each element to [-CLIP_VALUE, CLIP_VALUE]; "norm" scales each parameter's
    gradient, "full_model" all gradients together, to a NORM_TYPE-norm of CLIP_VALUE at most. None
    when clipping is off. Gradients must be unscaled (``GradScaler.unscale_``) and reduced over the
    processes.

    Raises:
        UnknownNameError: CLIP_TYPE is unknown.
        ConfigError: CLIP_VALUE is not above 0.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if not clip.ENABLED:
        return None
    limit, norm_type = clip.CLIP_VALUE, clip.NORM_TYPE
    if limit <= 0:
        raise ConfigError(
            f"SOLVER.CLIP_GRADIENTS.CLIP_VALUE is {limit}; it must be above 0 "
            "(ENABLED False turns clipping off)"
        )

    def by_value(params: Iterable[nn.Parameter]) -> None:
        nn.utils.clip_grad_value_(params, limit)

    def by_norm(params: Iterable[nn.Parameter]) -> None:
        for param in params:
            nn.utils.clip_grad_norm_(param, limit, norm_type)

    def by_full_norm(params: Iterable[nn.Parameter]) -> None:
        nn.utils.clip_grad_norm_(params, limit, norm_type)

    clippers = {"value": by_value, "norm": by_norm, "full_model": by_full_norm}
    if clip.CLIP_TYPE not in clippers:
        where = "types of SOLVER.CLIP_GRADIENTS.CLIP_TYPE"
        raise UnknownNameError(unknown_name(clip.CLIP_TYPE, clippers, where))
    return clippers[clip.CLIP_TYPE]
