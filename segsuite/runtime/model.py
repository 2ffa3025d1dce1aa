"""`ExportedModel`: from an image to what an exported model says about it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .engines import Engine, open_engine
from .frame import Frame
from .images import Size, read_image, resize_bilinear, resized_size, shown, to_planes
from .logits import labels_of_logits, normalized
from .result import Result


class ExportedModel:
    """Predicts images by a file that ``segsuite export`` has written, without PyTorch::

        model = ExportedModel("model.onnx")
        result = model("photo.jpg")
        result.save("predictions", "photo")

    Args:
        path: ``model.onnx``, or an OpenVINO model's ``.xml`` or folder; or an `Engine`.
        device: for ONNX Runtime an execution provider, "cpu" or "cuda"; for OpenVINO a device of
            its own, "CPU", "GPU" or "NPU".
        threads: that one operator may use; 0: as many as there are cores.
        min_score: instances below it are not drawn.

    Attributes:
        metadata: what the file says about itself.
        engine: what runs it.

    Raises:
        MissingPackageError: the package that runs it is not installed.
        MissingFileError: there is no such file.
        WeightsError: it was not exported by segsuite, is damaged, or of another version.
        ConfigError: there is no such device.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Engine,
        *,
        device: str = "",
        threads: int = 0,
        min_score: float = 0.5,
    ) -> None:
        self.engine: Engine = (
            path if isinstance(path, Engine) else open_engine(path, device=device, threads=threads)
        )
        self.metadata = self.engine.metadata
        self.min_score = min_score

    def __call__(self, image: Any) -> Result:
        """Predict one image.

        Args:
            image: a file, a Pillow image, or an array (H, W, C) or (H, W), in RGB where it is
                colours. Its size is the result's.

        Raises:
            MissingFileError, MissingPackageError, DataError: see `read_image`.
        """
        pixels = read_image(image, self.metadata)
        result = self.predict(self.prepare(pixels), (pixels.shape[0], pixels.shape[1]))
        result.image = shown(pixels, self.metadata)
        return result

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) uint8 in RGB, as `read_image` gives it, to (C, h, w) uint8: resized as the
        images of evaluations are, channels in the model's order."""
        size = resized_size((image.shape[0], image.shape[1]), self.metadata)
        return to_planes(resize_bilinear(image, size), self.metadata)

    def predict(self, planes: np.ndarray, size: Size) -> Result:
        """Run the graph on one image.

        Args:
            planes: (C, h, w) uint8, as `prepare` gives it.
            size: (height, width) of the image before it was resized, which the result has.

        Returns:
            A result without an image to draw on.
        """
        if self.metadata.bare:
            return self._predict_bare(planes, size)
        frame = Frame(planes, size, self.metadata)
        outputs = {name: array[0] for name, array in self.engine.run(frame.inputs()).items()}
        result = Result(self.metadata, size, min_score=self.min_score)
        for name in ("labels", "confidence", "panoptic"):
            if name in outputs:
                setattr(result, name, frame.cut(outputs[name]))
        if "boxes" in outputs:
            _set_instances(result, outputs, frame)
        if "panoptic" in outputs:
            rows = outputs["segments"][: int(outputs["segment_count"])]
            result.segments = [_segment(number, row) for number, row in enumerate(rows.tolist(), 1)]
        return result

    def _predict_bare(self, planes: np.ndarray, size: Size) -> Result:
        images = normalized(planes, self.metadata)[None]
        (logits, *_) = self.engine.run({self.metadata.inputs[0]: images}).values()
        source = planes.shape[1], planes.shape[2]
        labels, confidence = labels_of_logits(logits[0], source, size, self.metadata)
        return Result(self.metadata, size, labels=labels, confidence=confidence)


def _set_instances(result: Result, outputs: dict[str, np.ndarray], frame: Frame) -> None:
    """The detections in pixels of the image; those whose box is empty there are left out."""
    found = int(outputs["count"])
    height, width = result.size
    boxes = outputs["boxes"][:found] * frame.scale
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    result.boxes = boxes[kept]
    result.scores = outputs["scores"][:found][kept]
    result.classes = outputs["classes"][:found][kept]
    if "masks" in outputs:
        result.mask_probabilities = outputs["masks"][:found][kept]
    elif "pasted" in outputs:
        pasted = [frame.cut(mask) for mask in outputs["pasted"][:found][kept]]
        result.pasted = np.stack(pasted) if pasted else np.zeros((0, *result.size), bool)


def _segment(number: int, row: list[float]) -> dict[str, Any]:
    """A segment as `PanopticFPN` describes it, of its row: category, 1 for things, score, area, and
    for things their place among the instances."""
    category, is_thing, score, area, place = row
    facts = {"id": number, "isthing": bool(is_thing), "category_id": int(category)}
    if is_thing:
        return {**facts, "score": score, "instance_id": int(place)}
    return {**facts, "area": int(area)}
