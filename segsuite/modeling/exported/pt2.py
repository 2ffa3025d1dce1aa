"""What runs a ``.pt2``: PyTorch."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from segsuite.errors import ConfigError, DataError, MissingFileError, WeightsError
from segsuite.runtime import Engine, read_metadata
from segsuite.runtime.engines import Arrays

from .pt2_check import check_runs_no_code

# Sizes that torch.export found to be the limits of a graph: it tells a side of one pixel, at any
# level of a pyramid, from others.
_LIMIT = re.compile(r"shape\[([23])\] to be (>=|<=) (\d+), but got (\d+)")


class TorchExportEngine(Engine):
    """Runs a file of torch.export.

    `torch.export.load` runs code that a file of somebody else's making may hold, so
    `check_runs_no_code` comes first.

    Args:
        device: of PyTorch's; "": "cpu", which the file was exported for.
        threads: of PyTorch, in the whole process; 0: as they are.

    Raises:
        ConfigError: there is no such device here.
        MissingFileError, WeightsError: see `read_metadata` and `check_runs_no_code`; or this
            version of PyTorch does not take the file.
    """

    def __init__(self, path: str | os.PathLike[str], *, device: str = "", threads: int = 0) -> None:
        file = Path(path)
        if not file.is_file():
            raise MissingFileError(f"there is no exported model '{file}'")
        super().__init__(file, read_metadata(file))
        check_runs_no_code(file)
        if threads:
            torch.set_num_threads(threads)
        self._device = _device(device)
        try:
            with _quiet():
                program = torch.export.load(file)
        except Exception as error:  # whatever its parsers meet
            raise WeightsError(
                f"PyTorch {torch.__version__} does not take {file} "
                f"({error or type(error).__name__}); if it is of another version, export the model "
                "again with this one"
            ) from None
        if self._device.type != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, self._device)
        # Guards would be compiled from the file's text; inputs are checked by its metadata.
        self._module = program.module(check_guards=False)

    @property
    def name(self) -> str:
        return f"PyTorch {torch.__version__.partition('+')[0]} (torch.export), {self._device}"

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        tensors = [
            torch.from_numpy(np.ascontiguousarray(inputs[name])).to(self._device)
            for name in self.metadata.inputs
        ]
        try:
            with torch.inference_mode():
                outputs = self._module(*tensors)
        except RuntimeError as error:
            raise self._about_sizes(error) or error from None
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        arrays = (output.cpu().numpy() for output in outputs)
        return dict(zip(self.metadata.outputs, arrays, strict=True))

    def _about_sizes(self, error: RuntimeError) -> DataError | None:
        if (found := _LIMIT.search(str(error))) is None:
            return None
        axis, sign, limit, given = found.groups()
        side = "height" if axis == "2" else "width"
        bound = "at least" if sign == ">=" else "at most"
        return DataError(
            f"{self.file} takes images of a {side} of {bound} {limit} pixels (of the image as it "
            f"is resized), but got {given}; export the model again with --size for such images"
        )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name.lower() or "cpu")
    except RuntimeError:
        raise ConfigError(
            f"PyTorch has no device '{name}' (MODEL.EXPORTED.DEVICE); use 'cpu' or 'cuda'"
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"MODEL.EXPORTED.DEVICE is '{name}', but PyTorch sees no CUDA device; use 'cpu'"
        )
    return device


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what PyTorch logs before it raises what it logs."""
    logger = logging.getLogger("torch.export")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
