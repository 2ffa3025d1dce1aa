"""Frames of videos, read and written through OpenCV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from segsuite.errors import DataError, FileAccessError


class VideoReader:
    """The frames of a video file as (H, W, 3) uint8 RGB.

    Attributes:
        fps: frames a second; 25 where the file does not say.
        frames: their number as the file tells it, 0 where it does not.

    Raises:
        DataError: OpenCV can't read the file.
    """

    def __init__(self, path: str | os.PathLike):
        self._capture = cv2.VideoCapture(os.fspath(path))
        if not self._capture.isOpened():
            raise DataError(
                f"{path} is not a video that OpenCV can read; convert it, e.g. to .mp4 with H.264"
            )
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
        self.frames = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            while True:
                there, frame = self._capture.read()
                if not there:
                    return
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        finally:
            self._capture.release()


class VideoWriter:
    """Writes (H, W, 3) uint8 RGB frames of one size to an .mp4 file; a context manager.

    Raises:
        FileAccessError: OpenCV can't write the file.
    """

    def __init__(self, path: str | os.PathLike, fps: float):
        self._path, self._fps = Path(path), fps
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            size = (frame.shape[1], frame.shape[0])
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(os.fspath(self._path), codec, self._fps, size)
            if not self._writer.isOpened():
                raise FileAccessError(
                    f"OpenCV can't write {self._path}; check the folder's permissions"
                )
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.release()
