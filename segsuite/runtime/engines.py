"""What runs the graph of an exported file: ONNX Runtime, or OpenVINO."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from segsuite.errors import ConfigError, MissingPackageError, WeightsError

from .metadata import ExportMetadata, model_file, read_metadata

Arrays = Mapping[str, np.ndarray]


class Engine(ABC):
    """A graph that is ready to run.

    Attributes:
        file: that it was read from.
        metadata: what the file says about itself.
    """

    def __init__(self, file: Path, metadata: ExportMetadata) -> None:
        self.file, self.metadata = file, metadata

    @property
    @abstractmethod
    def name(self) -> str:
        """What it runs on, for people: "ONNX Runtime 1.32.0, CPUExecutionProvider"."""

    @abstractmethod
    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """The outputs by name, for the inputs by name."""


class ONNXRuntimeEngine(Engine):
    """Runs a ``.onnx`` file.

    Operators of other libraries are never loaded, whatever the file asks for.

    Args:
        device: an execution provider, such as "CUDAExecutionProvider", or "cpu" or "cuda".
        threads: that one operator may use; 0: as many as there are cores.

    Raises:
        ConfigError: there is no such provider here.
        MissingPackageError: onnxruntime is not installed.
        WeightsError: ONNX Runtime does not take the file.
    """

    def __init__(
        self, file: Path, metadata: ExportMetadata, *, device: str = "", threads: int = 0
    ) -> None:
        super().__init__(file, metadata)
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors; warnings are of interest to those who export
        providers = _providers(device, runtime.get_available_providers())
        try:
            self._session = runtime.InferenceSession(str(file), options, providers=providers)
        except Exception as error:  # of many types, which have no base of their own
            raise _not_taken(file, f"ONNX Runtime {runtime.__version__}", error) from None
        self._version = runtime.__version__
        self._outputs = [output.name for output in self._session.get_outputs()]
        inputs = [given.name for given in self._session.get_inputs()]
        if inputs != metadata.inputs or self._outputs != metadata.outputs:
            raise _other_graph(file, metadata, inputs, self._outputs)

    @property
    def name(self) -> str:
        return f"ONNX Runtime {self._version}, {self._session.get_providers()[0]}"

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(None, dict(inputs)), strict=True))


class OpenVINOEngine(Engine):
    """Runs a ``.xml`` and its ``.bin``.

    Args:
        device: of OpenVINO's, such as "CPU", "GPU", "NPU".
        threads: see `ONNXRuntimeEngine`.

    Raises:
        MissingPackageError: openvino is not installed.
        WeightsError: OpenVINO does not take the file, or has no such device.
    """

    def __init__(
        self, file: Path, metadata: ExportMetadata, *, device: str = "", threads: int = 0
    ) -> None:
        super().__init__(file, metadata)
        openvino = _openvino()
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if metadata.precision != "float16" or metadata.task != "semantic":
            # On some CPUs the default is bfloat16, whose label maps differ; and coordinates of
            # boxes need the digits of float32 whatever the network is in.
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        self._device = device.upper() or "CPU"
        if threads and self._device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        if self._device.partition(".")[0] not in {
            d.partition(".")[0] for d in core.available_devices
        }:
            raise ConfigError(
                f"OpenVINO has no device '{device}' here; expected one of "
                f"{', '.join(core.available_devices)}"
            )
        try:
            compiled = core.compile_model(core.read_model(file), self._device, settings)
        except Exception as error:
            raise _not_taken(file, f"OpenVINO {openvino.__version__}", error) from None
        self._version = openvino.__version__.partition("-")[0]
        self._request = compiled.create_infer_request()
        if len(compiled.inputs) != len(metadata.inputs) or (
            len(compiled.outputs) != len(metadata.outputs)
        ):
            names = [[t.get_any_name() for t in ts] for ts in (compiled.inputs, compiled.outputs)]
            raise _other_graph(file, metadata, *names)
        # One that is a function of another may have the names of both.
        self._outputs = dict(zip(metadata.outputs, compiled.outputs, strict=True))

    @property
    def name(self) -> str:
        return f"OpenVINO {self._version}, {self._device}"

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        results = self._request.infer(dict(inputs))
        # They are the request's own memory, which the next call overwrites.
        return {name: results[output].copy() for name, output in self._outputs.items()}


def open_engine(path: str | os.PathLike[str], *, device: str = "", threads: int = 0) -> Engine:
    """Read an exported file that runs without PyTorch.

    Args:
        path: ``model.onnx``, or a ``.xml`` of OpenVINO or its folder.
        device, threads: see `ONNXRuntimeEngine` and `OpenVINOEngine`.

    Raises:
        MissingPackageError: what runs it is not installed.
        MissingFileError, UnknownNameError, WeightsError: see `read_metadata`.
    """
    metadata = read_metadata(path)
    file = model_file(path)
    assert file is not None  # it has been read
    if file.suffix == ".pt2":
        raise MissingPackageError(
            f"{path} runs by PyTorch: segsuite.Predictor('{path}') takes it. Without PyTorch use "
            "a .onnx file or an OpenVINO model: segsuite export --format onnx"
        )
    engine = ONNXRuntimeEngine if file.suffix == ".onnx" else OpenVINOEngine
    return engine(file, metadata, device=device, threads=threads)


def _providers(device: str, available: list[str]) -> list[str]:
    wanted = {"": "CPU", "cpu": "CPU", "cuda": "CUDA"}.get(device.lower(), device)
    name = wanted if wanted.endswith("ExecutionProvider") else f"{wanted}ExecutionProvider"
    matching = [p for p in available if p.lower() == name.lower()]
    if not matching:
        raise ConfigError(
            f"ONNX Runtime has no execution provider '{device}' here; expected one of "
            f"{', '.join(available)} (onnxruntime-gpu and other packages bring more)"
        )
    return list(dict.fromkeys([*matching, "CPUExecutionProvider"]))


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            "an .onnx file needs the package onnxruntime: pip install onnxruntime, or "
            "segsuite-torch[export]"
        ) from error
    return onnxruntime


def _openvino() -> ModuleType:
    try:
        import openvino
    except ImportError as error:
        raise MissingPackageError(
            "an OpenVINO model needs the package openvino: pip install openvino, or "
            "segsuite-torch[openvino]"
        ) from error
    return openvino


def _not_taken(file: Path, runtime: str, error: Exception) -> WeightsError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return WeightsError(
        f"{runtime} does not take {file}: {lines[-1] if lines else type(error).__name__}. Export "
        "the model again, or update the package"
    )


def _other_graph(
    file: Path, metadata: ExportMetadata, inputs: list[str], outputs: list[str]
) -> WeightsError:
    return WeightsError(
        f"{file} has been changed since it was exported: its graph has the inputs "
        f"{', '.join(inputs)} and the outputs {', '.join(outputs)}, its metadata name "
        f"{', '.join(metadata.inputs)} and {', '.join(metadata.outputs)}. Export the model again"
    )
