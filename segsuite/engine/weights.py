"""The weights of a run that are evaluated and predicted with."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from segsuite.checkpoint import load_weights
from segsuite.config import CfgNode


def load_trained_weights(model: nn.Module, cfg: CfgNode) -> Path:
    """Load MODEL.WEIGHTS or, if that is empty, model_final or else model_best of OUTPUT_DIR.

    Returns:
        The file.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: they are not all of the model's.
    """
    run = [Path(cfg.OUTPUT_DIR, name) for name in ("model_final.pth", "model_best.pth")]
    path = cfg.MODEL.WEIGHTS or next((p for p in run if p.exists()), None)
    if path is None:
        raise FileNotFoundError(
            f"nothing to evaluate: MODEL.WEIGHTS is empty, and '{cfg.OUTPUT_DIR}' has neither "
            "model_final.pth nor model_best.pth"
        )
    missing = load_weights(model, path).missing
    if missing:
        raise ValueError(
            f"'{path}' lacks {len(missing)} of the model's tensors, first '{missing[0]}': it "
            "can start a training, but not be evaluated"
        )
    return Path(path)
