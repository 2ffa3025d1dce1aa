"""`Run`: what a run has left in its output folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from segsuite.config import CfgNode, load_config
from segsuite.data import Metadata
from segsuite.errors import DataError, MissingFileError
from segsuite.utils.files import parse_json
from segsuite.utils.nested import flatten

from .files import EvaluationFiles, RunFiles, read_json
from .plugins import naming_missing_plugins
from .run_info import noted_metadata


class Run:
    """A run, as its output folder tells it. Files are read when they are asked for, once::

        run = segsuite.Run("output/demo")
        run.config.SOLVER.BASE_LR
        run.curve("total_loss")
        run.evaluations["my_val"].results["sem_seg"]["mIoU"]

    Args:
        folder: OUTPUT_DIR of a training or an evaluation.

    Attributes:
        files: the paths of what is in the folder.
        name: of the folder.

    Raises:
        MissingFileError: the folder is no run's.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.files = RunFiles(folder)
        self.name = self.folder.resolve().name
        if not self.files.config.exists() and not self.evaluations:
            raise MissingFileError(
                f"'{folder}' is no run: it has no {self.files.config.name} and no evaluations. "
                "Give the OUTPUT_DIR of a training, such as output/demo after `segsuite demo`"
            )

    def __repr__(self) -> str:
        return f"Run('{self.folder}')"

    @property
    def folder(self) -> Path:
        """OUTPUT_DIR, where it is now."""
        return self.files.folder

    @cached_property
    def config(self) -> CfgNode:
        """What the run's configuration says, frozen; without the defaults and checks of today, so
        that it is read where a plug-in of the run is missing. `load_config` gives one to build
        with. Empty for a folder that has evaluations alone."""
        config = CfgNode(new_allowed=True)
        if self.files.config.exists():
            config.merge_from_file(self.files.config)
        config.freeze()
        return config

    @cached_property
    def settings(self) -> dict[str, Any]:
        """`config` with keys joined by dots: ``{"SOLVER.BASE_LR": 0.01, ...}``."""
        return flatten(self.config)

    def load_config(
        self,
        overrides: Iterable[Any] = (),
        plugins: Iterable[str] = (),
        *,
        allow_plugins: bool = False,
    ) -> CfgNode:
        """The configuration to build the run's model with: OUTPUT_DIR where the run is now, and no
        MODEL.WEIGHTS, so that its own are taken.

        Plug-ins are code. Those of the run that are installed packages are loaded, and modules that
        its configuration names only if they are asked for here, or imported already.

        Args:
            overrides: ``KEY VALUE`` pairs, e.g. ``["MODEL.DEVICE", "cpu"]``.
            plugins: modules to import, those of the run or others.
            allow_plugins: import all that the run's configuration names.

        Raises:
            MissingFileError: the run has no configuration.
            MissingPackageError: a plug-in of the run is missing or not allowed; the message tells
                how to get it, or to allow it.
            ConfigError: an override is wrong.
        """
        path = self.files.config
        if not path.is_file():
            raise MissingFileError(
                f"'{self.folder}' has no {path.name}: nothing was trained there. Give the "
                "OUTPUT_DIR of a training, such as output/demo after `segsuite demo`"
            )
        own = ["OUTPUT_DIR", os.fspath(self.folder), "MODEL.WEIGHTS", ""]
        with naming_missing_plugins(self.folder):
            return load_config(path, [*own, *overrides], plugins, allow_plugins=allow_plugins)

    @cached_property
    def info(self) -> dict[str, Any]:
        """Where the run comes from, see `run_info`; empty where that was not noted."""
        return read_json(self.files.info)

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The figures by iteration: ``[{"iteration": 19, "total_loss": 0.4, ...}, ...]``."""
        path = self.files.metrics
        lines = []
        for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
            try:
                lines.append(parse_json(line))
            except ValueError:
                continue  # half a line: the run was killed, or is writing it
        return lines

    def curve(self, name: str) -> list[tuple[int, float]]:
        """(iterations done, value) of a figure of `metrics`, without the gaps."""
        points = ((line["iteration"] + 1, line.get(name)) for line in self.metrics)
        return [(i, v) for i, v in points if v is not None]

    @property
    def checkpoints(self) -> dict[str, Path]:
        """The checkpoints there are by name: those to resume from, ``model_0000100`` and so on,
        then ``model_best`` and ``model_final``."""
        return {path.stem: path for path in self.files.checkpoints()}

    @cached_property
    def evaluations(self) -> dict[str, Evaluation]:
        """What there is of evaluations, by the name of the data set."""
        found = map(Evaluation, self.files.evaluations())
        return {e.dataset: e for e in found if any(p.exists() for p in e.files.figures.values())}

    @cached_property
    def metadata(self) -> Metadata | None:
        """Names and colours of the classes as the run noted them; None where it did not."""
        return noted_metadata(self.info)

    @cached_property
    def classes(self) -> dict[str, list[str]]:
        """Names of the classes that the run is about: "stuff", which semantic segmentation
        labels, and "things", of instances, whichever there are."""
        noted = self.info.get("metadata", {})
        kinds = {"stuff": noted.get("stuff_classes"), "things": noted.get("thing_classes")}
        return {kind: list(names) for kind, names in kinds.items() if names}


class Evaluation:
    """What evaluators have left of a run on one data set. Files are read when they are asked for.

    Attributes:
        files: the paths of what there is.
        dataset: its name.
    """

    def __init__(self, files: EvaluationFiles):
        self.files = files
        self.dataset = files.folder.name

    def __repr__(self) -> str:
        return f"Evaluation('{self.files.folder}')"

    @cached_property
    def contents(self) -> dict[str, dict[str, Any]]:
        """The content of the evaluators' files of figures by task, with confusion matrix, curves
        and so on.

        Raises:
            DataError: a file is damaged.
        """
        contents: dict[str, dict[str, Any]] = {}
        for task, path in self.files.figures.items():
            content = read_json(path)
            if not content:
                continue
            if "results" not in content:
                raise DataError(f"{path} has no 'results'; evaluate the run again")
            tasks = content["results"] if _is_by_task(content["results"]) else [task]
            contents.update(dict.fromkeys(tasks, content))
        return contents

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """Figures by task in percent, ``{"sem_seg": {"mIoU": 71.2, ...}}``; None where a class is
        left out."""
        found = {task: content["results"] for task, content in self.contents.items()}
        return {task: r[task] if _is_by_task(r) else r for task, r in found.items()}

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """(low, high) in percent by figure, where they were computed."""
        return {
            figure: bounds
            for content in self.contents.values()
            for figure, bounds in content.get("intervals", {}).get("figures", {}).items()
            if None not in bounds
        }

    @cached_property
    def speed(self) -> dict[str, Any]:
        """See `inference_on_dataset`; empty where it was not kept."""
        return read_json(self.files.speed)

    @cached_property
    def examples(self) -> list[dict[str, Any]]:
        """One dict an image, see `save_examples`, the worst first; ``folder`` has the pictures."""
        examples = self._pictures.get("examples", [])
        return [{**example, "folder": self.files.examples} for example in examples]

    @property
    def examples_task(self) -> str:
        """The one of `results` that the examples are of."""
        return self._pictures.get("task", next(iter(self.results)))

    @cached_property
    def _pictures(self) -> dict[str, Any]:
        return read_json(self.files.examples_index)


def _is_by_task(results: dict[str, Any]) -> bool:
    """Whether a file has the figures of several tasks, by their names."""
    return bool(results) and all(isinstance(value, dict) for value in results.values())
