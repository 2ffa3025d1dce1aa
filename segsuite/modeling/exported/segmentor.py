"""`ExportedSegmentor`: an exported file as a model that takes records."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError, DataError
from segsuite.runtime import Engine, ExportedModel, ExportMetadata, Result, open_engine
from segsuite.runtime.metadata import model_file
from segsuite.structures import (
    BitMasks,
    Boxes,
    Instances,
    ROIMasks,
    SemSegLabels,
    num_labels,
)
from segsuite.utils.record_name import record_name

from ..meta_arch.build import META_ARCH_REGISTRY
from .pt2 import TorchExportEngine


@META_ARCH_REGISTRY.register()
class ExportedSegmentor(nn.Module):
    """Predicts by a file that ``segsuite export`` has written: ``model.onnx``, an OpenVINO model's
    ``.xml`` or folder, or a ``.pt2``.

    It takes the records that other models take in evaluation and returns what they return, so it is
    evaluated, drawn and served as they are. It has no parameters, and is never trained. What it
    computes is on the CPU, wherever the file is run.

    Args:
        file: the exported file.
        device: what runs it, see `ExportedModel` of the runtime; for a ``.pt2`` a device of
            PyTorch's.
        threads: that one operator may use; 0: as many as there are cores.

    Attributes:
        file: the exported file.
        metadata: what it says about itself.

    Raises:
        MissingPackageError, MissingFileError, WeightsError, ConfigError: see `ExportedModel`.
    """

    @configurable
    def __init__(self, *, file: str | os.PathLike[str], device: str = "", threads: int = 0) -> None:
        super().__init__()
        self.file = os.fspath(file)
        self._model = ExportedModel(_open(self.file, device, threads))
        self._renumbered: np.ndarray | None = None

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {
            "file": cfg.MODEL.WEIGHTS,
            "device": cfg.MODEL.EXPORTED.DEVICE,
            "threads": cfg.MODEL.EXPORTED.THREADS,
        }

    @property
    def metadata(self) -> ExportMetadata:
        return self._model.metadata

    @property
    def engine(self) -> Engine:
        """What runs the file."""
        return self._model.engine

    def take_classes(self, names: Sequence[str], dataset: str, kind: str) -> None:
        """Number the classes as a data set does, which has the same in any order, those of a
        panoptic model in the same.

        Args:
            names: of the data set's classes.
            dataset: its name, for messages.
            kind: "thing" or "stuff".

        Raises:
            ConfigError: the data set has other classes.
        """
        metadata = self.metadata
        own = metadata.classes
        if metadata.task == "panoptic":
            own = metadata.thing_classes if kind == "thing" else metadata.stuff_classes
        if sorted(own) != sorted(names):
            raise ConfigError(
                f"{self.file} predicts {_listed(own, names)}, and data set '{dataset}' has "
                f"{_listed(names, own)}; evaluate on a data set with the classes that the model "
                "was exported with"
            )
        order = np.array([list(names).index(name) for name in own])
        is_same = bool((order == np.arange(len(own))).all())
        if metadata.task == "panoptic" and not is_same:
            raise ConfigError(
                f"{self.file} and data set '{dataset}' have the same {kind} classes in different "
                "orders; a panoptic file is evaluated on those of its own order alone"
            )
        self._renumbered = None if is_same or len(own) == 1 else order

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The predictions for some records.

        Args:
            batched_inputs: one record an image, with
                ``image``: (C, h, w) uint8, as the mappers make it.
                ``height``, ``width``: the size the prediction is wanted in; by default the image's.

        Returns:
            For each record ``sem_seg`` (`SemSegLabels`), ``instances`` or ``panoptic_seg``,
            whichever the file gives, as the model that was exported returns them; on the CPU.

        Raises:
            ConfigError: in training mode.
            DataError: an image has another number of channels.
        """
        if self.training:
            raise ConfigError(
                f"{self.file} is an exported model, which can't be trained; train the run that it "
                "was exported from"
            )
        return [self._predict(record) for record in batched_inputs]

    def extra_repr(self) -> str:
        return f"{self.file!r}, {self.engine.name}"

    def _predict(self, record: dict[str, Any]) -> dict[str, Any]:
        image = record["image"]
        channels = self.metadata.in_channels
        if image.shape[0] != channels or image.dtype != torch.uint8:
            raise DataError(
                f"{record_name(record)}: 'image' is {tuple(image.shape)} {image.dtype}, but "
                f"{self.file} takes {channels} channels first, of uint8"
            )
        size = (record.get("height", image.shape[1]), record.get("width", image.shape[2]))
        return self._outputs(self._model.predict(image.cpu().numpy(), size))

    def _outputs(self, result: Result) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        if result.labels is not None:
            labels = result.labels
            if self._renumbered is not None:
                labels = self._renumbered.astype(labels.dtype)[labels]
            count = num_labels(len(self.metadata.stuff_classes or self.metadata.classes))
            probability = None if result.confidence is None else _tensor(result.confidence)
            outputs["sem_seg"] = SemSegLabels(_tensor(labels), probability, count)
        if result.boxes is not None:
            outputs["instances"] = self._instances(result)
        if result.panoptic is not None:
            outputs["panoptic_seg"] = (_tensor(result.panoptic), result.segments)
        return outputs

    def _instances(self, result: Result) -> Instances:
        assert result.boxes is not None and result.scores is not None
        assert result.classes is not None
        classes = result.classes
        if self._renumbered is not None:
            classes = self._renumbered[classes]
        instances = Instances(
            result.size,
            pred_boxes=Boxes(_tensor(result.boxes)),
            scores=_tensor(result.scores),
            pred_classes=_tensor(classes).long(),
        )
        if result.mask_probabilities is not None:
            boxes = _tensor(result.mask_boxes())
            instances.pred_masks = ROIMasks(_tensor(result.mask_probabilities), boxes, result.size)
        elif result.pasted is not None:
            instances.pred_masks = BitMasks(_tensor(result.pasted))
        return instances


def _open(file: str, device: str, threads: int) -> Engine:
    path = model_file(file)
    if path is not None and path.suffix == ".pt2":
        return TorchExportEngine(path, device=device, threads=threads)
    return open_engine(file, device=device, threads=threads)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _listed(names: Sequence[str], others: Sequence[str]) -> str:
    """How many classes, and the first that others do not have."""
    own = [name for name in names if name not in others]
    more = f", {', '.join(own[:3])}{', ...' if len(own) > 3 else ''} among them" if own else ""
    return f"{len(names)} classes{more}"
