"""What quantisation costs: the figures of a model before and after, on a data set."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segsuite.config import CfgNode
from segsuite.data import get_records
from segsuite.engine.api import evaluate
from segsuite.errors import DataError, UserError
from segsuite.runs.main_metric import main_metric


@dataclass(frozen=True)
class Loss:
    """A figure of PyTorch's model and of an exported file, in percent.

    Attributes:
        figure: "sem_seg/mIoU", "segm/AP", ...
        dataset: that both were evaluated on.
    """

    figure: str
    dataset: str
    before: float
    after: float

    def __str__(self) -> str:
        return (
            f"{self.figure} on {self.dataset}: {self.before:.2f} in PyTorch, {self.after:.2f} "
            f"exported, a loss of {self.before - self.after:.2f} points"
        )


def check_measurable(cfg: CfgNode) -> None:
    """See whether the data set is here that `measure_losses` would use.

    Raises:
        DataError: it is not.
    """
    for name in cfg.DATASETS.TEST[:1]:
        try:
            get_records(name)
        except UserError as error:
            raise DataError(
                f"what int8 costs is measured on '{name}', the first of DATASETS.TEST: {error}. "
                "Name another data set in DATASETS.TEST, or leave the figures out (--no-figures, "
                "measure=False)"
            ) from error


def measure_losses(cfg: CfgNode, weights: str | Path, exported: Path) -> list[Loss]:
    """The main figure of each task on the first of DATASETS.TEST, before and after.

    Args:
        weights: file or address of the model's.
        exported: of the same model.

    Returns:
        Nothing where no data set is named.

    Raises:
        UserError: the data set can't be used.
    """
    if not cfg.DATASETS.TEST:
        return []
    name = cfg.DATASETS.TEST[0]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        before = evaluate(cfg, dataset=name, overrides=_place(folder, "before", weights))
        # Of a page, the model in its folder.
        file = next(exported.glob("*.onnx"), exported) if exported.is_dir() else exported
        after = evaluate(file, data=cfg, dataset=name, overrides=_place(folder, "after"))
    losses = []
    for task, figures in before.items():
        figure = main_metric(f"{task}/{key}" for key in figures)
        if figure is not None and figures[key := figure.partition("/")[2]] is not None:
            losses.append(Loss(figure, name, figures[key], after[task][key]))
    return losses


def _place(folder: str, name: str, weights: str | Path = "") -> dict[str, Any]:
    place = {"OUTPUT_DIR": os.path.join(folder, name), "TEST.EXAMPLES": 0, "TEST.REPORT": False}
    return {**place, "MODEL.WEIGHTS": os.fspath(weights)} if weights else place
