"""`DefaultTrainer`: a whole training run from a configuration."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader

from segsuite.acceleration import accelerate, check_graph_limit
from segsuite.checkpoint import Checkpointer, load_weights, seed_all
from segsuite.config import CfgNode
from segsuite.config.yaml_files import parse_yaml
from segsuite.data import build_test_loader, build_train_loader
from segsuite.errors import ConfigError
from segsuite.evaluation import (
    DatasetEvaluator,
    build_evaluator,
    inference_on_dataset,
    results_table,
)
from segsuite.modeling import build_inference, build_model
from segsuite.predict.examples import save_examples
from segsuite.runs.files import RunFiles
from segsuite.runs.output_dir import OutputDirGuard, check_free_space
from segsuite.runs.run_info import note_first_iteration
from segsuite.runs.weights import class_names, load_initial_weights, load_trained_weights
from segsuite.solver import build_gradient_clipper, build_lr_multiplier, build_optimizer
from segsuite.utils import comm
from segsuite.utils.nested import flatten
from segsuite.utils.writers import ConsoleWriter, EventWriter, JSONWriter, TensorboardWriter
from segsuite.visualization.report import write_report

from . import hooks
from .amp import amp_dtype
from .compiling import compile_model
from .fsdp import ShardedModel
from .train_loop import HookBase, SimpleTrainer, TrainingInterrupted

logger = logging.getLogger(__name__)


class DefaultTrainer(SimpleTrainer):
    """Trains, evaluates and saves what a configuration describes.

    ::

        trainer = DefaultTrainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        results = trainer.train()

    ``HOOKS`` names registered hooks to add; override the ``build_*`` methods to change a part.
    (Hooks that `register_hooks` appends run after the checkpoint is written.)

    A checkpoint holds all that the rest of the run depends on: a run that was killed and resumed
    ends with the weights of one that was not. ``model_final`` and ``model_best`` hold weights
    alone: with SOLVER.EMA the averaged ones, which are also what is evaluated.
    """

    def __init__(self, cfg: CfgNode):
        self._check_build_train_loader(cfg)
        for name in cfg.DATASETS.TEST:
            self.build_evaluator(cfg, name)  # what is wrong with it shows now, not after hours
        model = self.build_model(cfg)
        accelerate(model)
        build_inference(cfg, model)  # likewise
        check_graph_limit(cfg.TEST.CUDA_GRAPHS)  # likewise
        device = next(model.parameters()).device
        amp_dtype(cfg.TEST.AMP, "TEST.AMP", device)  # likewise
        dtype = amp_dtype(cfg.SOLVER.AMP, "SOLVER.AMP", device)
        self._sharded = self._shard(cfg, model, dtype)
        seed_all(cfg.SEED + comm.get_rank())
        super().__init__(
            model=model,
            build_loader=lambda start_iter: self.build_train_loader(cfg, start_iter),
            optimizer=self.build_optimizer(cfg, model),
            amp_dtype=dtype,
            accumulate_steps=cfg.SOLVER.ACCUMULATE_STEPS,
            clip_gradients=build_gradient_clipper(cfg),
        )
        self.cfg = cfg
        self.files = RunFiles(cfg.OUTPUT_DIR)
        self.checkpointer = Checkpointer(cfg.OUTPUT_DIR, keep=cfg.SOLVER.CHECKPOINTS_TO_KEEP)
        self._first_iter = 0
        self._guard: OutputDirGuard | None = None
        self._evaluation = hooks.EvalHook(self.evaluate, period=cfg.TEST.EVAL_PERIOD)
        ema = cfg.SOLVER.EMA
        self._ema = hooks.EMAHook(self.model, decay=ema.DECAY) if ema.ENABLED else None
        self.register_hooks(self.build_hooks())

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """The model, on its device, with its first weights."""
        model = build_model(cfg)
        compile_model(model, cfg.MODEL.COMPILE)
        return model

    @staticmethod
    def _shard(cfg: CfgNode, model: nn.Module, dtype: torch.dtype | None) -> ShardedModel | None:
        if not cfg.SOLVER.FSDP.ENABLED:
            return None
        if cfg.MODEL.COMPILE:
            raise ConfigError("SOLVER.FSDP does not go with MODEL.COMPILE; turn one of them off")
        if comm.get_world_size() == 1:
            logger.info("SOLVER.FSDP: one process, there is nothing to share")
            return None
        reshard = cfg.SOLVER.FSDP.RESHARD_AFTER_FORWARD
        return ShardedModel(model, amp_dtype=dtype, reshard_after_forward=reshard)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Each parameter group has its ``base_lr``, which the schedule multiplies."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode, start_iter: int) -> Iterable[list[dict]]:
        """This process's share of the batches from an iteration on, without end."""
        return build_train_loader(cfg, start_iter=start_iter)

    @classmethod
    def _check_build_train_loader(cls, cfg: CfgNode) -> None:
        """Refuse an override that can't start at an iteration, as those of Detectron2's trainer."""
        try:
            inspect.signature(cls.build_train_loader).bind(cfg, 0)
        except TypeError:
            raise TypeError(
                f"{cls.__name__}.build_train_loader has to take (cfg, start_iter), because a run "
                "that is resumed goes on in the middle of the data. Write: def "
                "build_train_loader(cls, cfg, start_iter): return build_train_loader(cfg, "
                "mapper=..., start_iter=start_iter)"
            ) from None

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        """This process's share of a data set, in order."""
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """What turns predictions on a data set into figures."""
        folder = RunFiles(cfg.OUTPUT_DIR).evaluation(dataset_name).folder
        return build_evaluator(cfg, dataset_name, folder)

    def build_writers(self) -> list[EventWriter]:
        """Where figures are written."""
        writers: list[EventWriter] = [ConsoleWriter(), JSONWriter(self.files.metrics)]
        if self.cfg.LOG.TENSORBOARD:
            writers.append(TensorboardWriter(self.files.tensorboard))
        return writers

    def build_hooks(self) -> list[HookBase]:
        """All hooks, in the order in which they run.

        What changes the model or its evaluation comes before what writes, and the checkpoint is
        last, so that it holds the whole step. Those that ``HOOKS`` names see the results of an
        evaluation, and what they put in the storage is written.
        """
        cfg = self.cfg
        grad_norm = hooks.GradientNorm()
        built: list[HookBase] = [
            hooks.OutputDirHook(self._check_output_dir),
            hooks.IterationTimer(),
            hooks.LRScheduler(self.optimizer, build_lr_multiplier(cfg)),
            grad_norm,
            hooks.NaNGuard(cfg.OUTPUT_DIR, grad_norm),
        ]
        if cfg.PROFILER.ENABLED:
            start, steps = cfg.PROFILER.START, cfg.PROFILER.STEPS
            built.append(hooks.Profiler(cfg.OUTPUT_DIR, start=start, steps=steps))
        if self._ema is not None:
            built.append(self._ema)
        if cfg.DATASETS.TEST:
            built += self._build_evaluation_hooks()
        built += hooks.build_named_hooks(cfg)
        built += [
            hooks.SignalHook(),
            hooks.PeriodicWriter(self.build_writers(), period=cfg.LOG.PERIOD),
            hooks.PeriodicCheckpointer(
                self.checkpointer,
                period=cfg.SOLVER.CHECKPOINT_PERIOD,
                final_state=self.evaluated_state,
                sharded=self._sharded is not None and cfg.SOLVER.FSDP.SHARDED_CHECKPOINTS,
            ),
        ]
        if cfg.DATASETS.TEST and cfg.TEST.REPORT:
            built.append(hooks.ReportHook(cfg.OUTPUT_DIR, self._evaluation))
        return built

    def _build_evaluation_hooks(self) -> list[HookBase]:
        test, evaluation = self.cfg.TEST, self._evaluation
        best = hooks.BestCheckpointer(
            self.checkpointer, evaluation, metric=test.BEST_METRIC, state=self.evaluated_state
        )
        built: list[HookBase] = [evaluation, best]
        if test.PRECISE_BN.ENABLED:
            precise_bn = hooks.PreciseBN(
                evaluation,
                num_iter=test.PRECISE_BN.NUM_ITER,
                build_loader=self.loader_from,
                evaluation_weights=self.evaluation_weights,
            )
            built.insert(0, precise_bn)
        if test.EARLY_STOPPING_PATIENCE:
            patience = test.EARLY_STOPPING_PATIENCE
            built.append(
                hooks.EarlyStopping(evaluation, metric=test.BEST_METRIC, patience=patience)
            )
        return built

    def resume_or_load(self, *, resume: bool) -> None:
        """Go on from the newest undamaged checkpoint in OUTPUT_DIR, or load MODEL.WEIGHTS.

        Without a checkpoint `resume` starts from MODEL.WEIGHTS as well.

        Raises:
            WeightsError: the checkpoint does not fit the configuration.
        """
        path, state = self._latest_checkpoint() if resume else (None, None)
        if comm.is_main_process():
            note_first_iteration(self.cfg.OUTPUT_DIR, state["iteration"] if state else 0)
        if path is None or state is None:
            if self.cfg.MODEL.WEIGHTS:
                with self._whole_model(writes=True) as model:
                    load_initial_weights(model, self.cfg)
            return
        self._compare_config(path, state)
        with self._whole_model(writes=True) as model:
            load_weights(model, path, origin="--resume", strict=True, state=state)
        self.load_state_dict(state)
        self._first_iter = state["iteration"]
        logger.info("resuming from %s at iteration %d", path, self._first_iter)

    def _latest_checkpoint(self) -> tuple[Path | None, dict[str, Any] | None]:
        # The main process chooses, for all.
        latest = self.checkpointer.latest() if comm.is_main_process() else None
        path, state = latest or (None, None)
        path = comm.broadcast_object(path)
        if path is None:
            logger.info("no checkpoint in %s: starting anew", self.cfg.OUTPUT_DIR)
        elif not comm.is_main_process():
            state = self.checkpointer.load(path)
        return path, state

    def _compare_config(self, path: Path, state: dict[str, Any]) -> None:
        if state["seed"] != self.cfg.SEED:
            raise ConfigError(
                f"SEED is {self.cfg.SEED}, but the run in {path} was started with {state['seed']}; "
                "a run keeps its seed when it is resumed"
            )
        earlier = flatten(parse_yaml(state["config"], f"the configuration in {path}"))
        before, now = earlier.get("SOLVER.IMS_PER_BATCH"), self.cfg.SOLVER.IMS_PER_BATCH
        if before is not None and before != now:
            raise ConfigError(
                f"SOLVER.IMS_PER_BATCH is {now}, but the run in {path} has batches of {before} "
                "images, from which its place in the stream of images follows; a resumed run keeps "
                "them. For less memory raise SOLVER.ACCUMULATE_STEPS, or use more processes; for "
                "other batches start a run in another OUTPUT_DIR with this file as MODEL.WEIGHTS"
            )
        for name, value in flatten(parse_yaml(self.cfg.dump(), "the configuration")).items():
            if earlier.get(name) != value:
                logger.warning("resuming with %s %s -> %s", name, earlier.get(name), value)

    # As in Detectron2 the first iteration and the last are the configuration's.
    def train(self) -> dict[str, float]:  # type: ignore[override]
        """Train up to SOLVER.MAX_ITER.

        Returns:
            The flat figures of the last evaluation, e.g. ``sem_seg/mIoU``.
        """
        if comm.is_main_process():
            os.makedirs(self.cfg.OUTPUT_DIR, exist_ok=True)  # without default_setup
            self.check_free_space()
            self._guard = OutputDirGuard(self.cfg.OUTPUT_DIR)
        try:
            super().train(self._first_iter, self.cfg.SOLVER.MAX_ITER)
        except (OSError, TrainingInterrupted):
            self._check_output_dir()  # the reason, where it is gone
            raise
        self._check_output_dir()
        return self.results

    def _check_output_dir(self) -> None:
        if self._guard is not None:
            self._guard.check()

    def check_free_space(self) -> None:
        """Look whether the disk has room for a checkpoint; `train` does it first.

        Raises:
            FileAccessError: it has not.
        """
        # Weights, their gradients' moments and average: what a checkpoint may hold.
        weights = sum(t.numel() * t.element_size() for t in self.model.state_dict().values())
        check_free_space(self.cfg.OUTPUT_DIR, 4 * weights)

    @property
    def results(self) -> dict[str, float]:
        """The flat figures of the last evaluation, e.g. ``sem_seg/mIoU``; empty before it."""
        return self._evaluation.results

    @contextmanager
    def evaluation_weights(self) -> Iterator[nn.Module]:
        """A context that gives the model with the weights that are evaluated and saved.

        It is `model`, or, where that is sharded, a whole one; all processes have to ask for it.
        """
        averaged = nullcontext() if self._ema is None else self._ema.applied()
        with averaged, self._whole_model() as model:
            yield model

    def _whole_model(self, *, writes: bool = False) -> AbstractContextManager[nn.Module]:
        if self._sharded is None:
            return nullcontext(self.model)
        return self._sharded.whole(writes=writes)

    def evaluate(self) -> dict[str, Any]:
        """Evaluate the present weights on DATASETS.TEST."""
        with self.evaluation_weights() as model:
            if comm.get_world_size() > 1:
                # Batch-norm statistics are each process's own until here.
                for buffer in model.buffers():
                    dist.broadcast(buffer, 0)
            return self.test(self.cfg, model)

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module) -> dict[str, Any]:
        """Evaluate a model on each of DATASETS.TEST, as TEST.SLIDING_WINDOW and TEST.AUG ask for.

        Returns:
            ``{task: {figure: value}}``, for several data sets by the name of each.

        Raises:
            ConfigError: DATASETS.TEST is empty.
        """
        if not cfg.DATASETS.TEST:
            raise ConfigError("nothing to evaluate on: DATASETS.TEST is empty")
        model = build_inference(cfg, model)
        results = {}
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        dtype = amp_dtype(cfg.TEST.AMP, "TEST.AMP", device)
        for name in cfg.DATASETS.TEST:
            loader = cls.build_test_loader(cfg, name)
            evaluator = cls.build_evaluator(cfg, name)
            logger.info("evaluating on %s", name)
            files = RunFiles(cfg.OUTPUT_DIR).evaluation(name)
            results[name] = inference_on_dataset(
                model,
                loader,
                evaluator,
                dtype,
                speed_file=files.speed,
                cuda_graphs=cfg.TEST.CUDA_GRAPHS,
            )
            logger.info("results\n%s", results_table(results[name], title=name))
            if cfg.TEST.EXAMPLES and comm.is_main_process():
                save_examples(cfg, model, name, files, count=cfg.TEST.EXAMPLES)
        return next(iter(results.values())) if len(results) == 1 else results

    @classmethod
    def test_weights(cls, cfg: CfgNode) -> dict[str, Any]:
        """`test` of MODEL.WEIGHTS or, if that is empty, of the run in OUTPUT_DIR.

        Raises:
            MissingFileError: there are no weights.
            WeightsError: they are not those of the model.
        """
        model = cls.build_model(cfg)
        load_trained_weights(model, cfg)
        results = cls.test(cfg, model)
        if cfg.TEST.REPORT and comm.is_main_process():
            path = write_report([cfg.OUTPUT_DIR])
            logger.info("report: %s", path)
        return results

    @classmethod
    def test_results(cls, cfg: CfgNode, path: str | os.PathLike) -> dict[str, Any]:
        """Evaluate predictions on DATASETS.TEST that a file holds, without a model.

        Raises:
            MissingFileError, DataError: see the evaluator's `evaluate_file`.
            ConfigError: DATASETS.TEST is not a single data set, or no evaluator of it reads files.
        """
        if len(cfg.DATASETS.TEST) != 1:
            raise ConfigError(
                f"--results evaluates on one data set, DATASETS.TEST is {tuple(cfg.DATASETS.TEST)}"
            )
        (name,) = cfg.DATASETS.TEST
        results = cls.build_evaluator(cfg, name).evaluate_file(path)
        logger.info("results\n%s", results_table(results, title=name))
        return results

    def evaluated_state(self) -> dict[str, Any]:
        """The content of ``model_final`` and ``model_best``: weights, classes, configuration.

        All processes have to ask for it.
        """
        with self.evaluation_weights() as model:
            return {"model": model.state_dict(), **self._about()}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **self._about(), "seed": self.cfg.SEED}

    def _about(self) -> dict[str, Any]:
        return {"config": self.cfg.dump(), "classes": class_names(self.cfg)}
