"""`segsuite.train` and `segsuite.evaluate`: whole runs from Python, as many in a process as wanted.

The commands are one run in a process, which ends with them. Here the process goes on: the log is
closed, and the folder is free again, when a run is over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segsuite.config import CfgNode, load_config
from segsuite.errors import ConfigError
from segsuite.models import override_list
from segsuite.runs import Run, exported_config
from segsuite.runs.output_dir import release_output_dir
from segsuite.runs.plugins import naming_missing_plugins
from segsuite.runtime import is_exported
from segsuite.utils.logger import keeping_logger, log_traceback

from . import whole

Config = str | os.PathLike[str] | CfgNode | Run
Overrides = Mapping[str, Any] | Iterable[Any] | None


def train(
    config: Config,
    overrides: Overrides = None,
    *,
    resume: bool = False,
    plugins: Sequence[str] = (),
) -> Run:
    """Train a model in this process, as ``segsuite train`` does::

        run = segsuite.train("smoke/unet_shapes", {"OUTPUT_DIR": "output/x"})
        run.curve("total_loss")

    Args:
        config: the name of a recipe, a YAML file, a configuration, or, to resume, a run or its
            folder.
        overrides: ``{KEY: VALUE}``, or KEY, VALUE, KEY, ... in a row.
        resume: go on from the last checkpoint in OUTPUT_DIR, if there is one.
        plugins: modules to import that register components.

    Returns:
        What is in OUTPUT_DIR. An interrupted training (Ctrl-C, or the stop button of a notebook)
        leaves a checkpoint there, from which `resume` goes on.

    Raises:
        UserError: the configuration, the data, the weights or the folder are refused, such as one
            that holds a run already.
    """
    cfg = _configuration(config, overrides, plugins)
    with _one_of_several(cfg):
        whole.train(cfg, resume=resume)
    return Run(cfg.OUTPUT_DIR)


def evaluate(
    run_or_config: Config,
    *,
    dataset: str | Sequence[str] | None = None,
    data: Config | None = None,
    overrides: Overrides = None,
    plugins: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluate a model in this process, as ``segsuite eval`` does::

        results = segsuite.evaluate("output/run", dataset="my_val")
        results["sem_seg"]["mIoU"]
        segsuite.evaluate("model.onnx", data="output/run")

    Args:
        run_or_config: a run or its folder, or as `train` takes it with MODEL.WEIGHTS; or an
            exported file.
        dataset: a name or several, instead of DATASETS.TEST.
        data: with an exported file, the run or configuration whose data sets, and ways of
            evaluation, are taken.
        overrides, plugins: as for `train`.

    Returns:
        ``{task: {figure: value}}`` in percent; for several data sets by the name of each. It is in
        OUTPUT_DIR/evaluation too.

    Raises:
        UserError: as `train`; or there are no weights.
    """
    if is_exported(run_or_config):
        settings = None if data is None else _configuration(data, None, plugins)
        cfg = exported_config(run_or_config, override_list(overrides), plugins, data=settings)
    elif data is not None:
        raise ConfigError("data=... goes with an exported file; a run has data sets of its own")
    else:
        cfg = _configuration(run_or_config, overrides, plugins)
    if dataset is not None:
        cfg.DATASETS.TEST = (dataset,) if isinstance(dataset, str) else tuple(dataset)
    with _one_of_several(cfg):
        return whole.evaluate(cfg)


def _configuration(config: Config, overrides: Overrides, plugins: Sequence[str]) -> CfgNode:
    pairs = override_list(overrides)
    if isinstance(config, CfgNode):
        cfg = config.clone()
        cfg.defrost()
        cfg.merge_from_list(pairs)
        return cfg
    if isinstance(config, Run) or Path(config).is_dir():
        run = config if isinstance(config, Run) else Run(config)
        return run.load_config(pairs, plugins)
    # The file may be the config.yaml of a run.
    with naming_missing_plugins(Path(config).parent):
        return load_config(config, pairs, plugins)


@contextmanager
def _one_of_several(cfg: CfgNode) -> Iterator[None]:
    """A run after which the process goes on."""
    with keeping_logger():
        try:
            yield
        except BaseException as error:
            log_traceback(error)
            raise
        finally:
            release_output_dir(cfg.OUTPUT_DIR)
