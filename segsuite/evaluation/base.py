"""What an evaluator is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segsuite.errors import ConfigError, DataError, MissingFileError
from segsuite.utils import comm


class DatasetEvaluator:
    """Collects what is needed of each batch, and turns it into figures at the end.

    `process` should not grow with the data set nor wait for the device.
    """

    def reset(self) -> None:
        """Forget everything; called before the first batch."""
        raise NotImplementedError

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Take in one batch: the records given to the model, and what it returned for each."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, dict[str, Any]]:
        """Bring all processes together and return ``{task: {figure: value}}``, on every process."""
        raise NotImplementedError

    def reads_file(self, content_start: str) -> bool:
        """Whether `evaluate_file` takes a file that begins with this character."""
        return False

    def evaluate_file(self, path: str | os.PathLike) -> dict[str, dict[str, Any]]:
        """The same of predictions that a file holds, without a model.

        Raises:
            ConfigError: the evaluator has no such files.
        """
        raise ConfigError(
            f"{type(self).__name__} can't evaluate a results file (--results {path}); those of "
            "instance and of panoptic segmentation can"
        )


def check_distributed(distributed: bool) -> None:
    """Refuse the figures of one of several processes.

    Raises:
        ValueError: `distributed` is False where there are several processes.
    """
    if not distributed and comm.get_world_size() > 1:
        raise ValueError(
            f"distributed is False, but there are {comm.get_world_size()} processes; an evaluator "
            "brings the images of all of them together: leave it out"
        )


class DatasetEvaluators(DatasetEvaluator):
    """Several evaluators over the same predictions; their results in one dict."""

    def __init__(self, evaluators: Sequence[DatasetEvaluator]):
        self._evaluators = list(evaluators)

    def reset(self) -> None:
        for evaluator in self._evaluators:
            evaluator.reset()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        for evaluator in self._evaluators:
            evaluator.process(inputs, outputs)

    def evaluate(self) -> dict[str, dict[str, Any]]:
        results: dict[str, dict[str, Any]] = {}
        for evaluator in self._evaluators:
            for task, figures in (evaluator.evaluate() or {}).items():
                if task in results:
                    raise ConfigError(
                        f"two evaluators return figures for '{task}', the second is a "
                        f"{type(evaluator).__name__}; a task has one evaluator"
                    )
                results[task] = figures
        return results

    def evaluate_file(self, path: str | os.PathLike) -> dict[str, dict[str, Any]]:
        """By the one evaluator whose kind of file it is.

        Raises:
            MissingFileError, DataError: there is no such file, or no evaluator reads it.
        """
        if not Path(path).is_file():
            raise MissingFileError(f"there is no file {path}")
        with open(path, encoding="utf-8", errors="replace") as file:
            start = file.read(4096).lstrip()[:1]
        for evaluator in self._evaluators:
            if evaluator.reads_file(start):
                return evaluator.evaluate_file(path)
        names = ", ".join(type(evaluator).__name__ for evaluator in self._evaluators)
        raise DataError(f"{path} is not a results file of any of {names}")
