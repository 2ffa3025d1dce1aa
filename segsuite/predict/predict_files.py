"""Predictions of many files: images, folders, patterns, videos, or one image from a pipe."""

from __future__ import annotations

import glob
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from segsuite.data.folders import IMAGE_SUFFIXES, list_files
from segsuite.errors import DataError, FileAccessError, MissingFileError
from segsuite.runs.files import EvaluationFiles
from segsuite.utils.files import atomic_path
from segsuite.visualization import ColorTracker, Prediction, save_image
from segsuite.visualization.video import VideoReader, VideoWriter

from .predictor import Predictor
from .scenes import SUFFIXES as SCENES

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
STDIN = "-"


def find_inputs(inputs: Iterable[str]) -> dict[str, str]:
    """Output names and files: of images and videos, of those in folders, and of patterns.

    Of a folder the images are taken that training would take, see `list_files`, and videos. They
    keep their place below it; the ending stays in a name where two files would share it.

    Raises:
        MissingFileError: a file is not there, or a folder or pattern has no image or video.
    """
    found: list[tuple[str, str]] = []
    for entry in inputs:
        path = Path(entry)
        if entry == STDIN:
            found.append(("stdin", STDIN))
        elif path.is_dir():
            files = list_files(path, IMAGE_SUFFIXES + VIDEOS)
            if not files:
                raise MissingFileError(
                    f"no image or video in {entry}: expected files that end in "
                    f"{' '.join(IMAGE_SUFFIXES + VIDEOS)}"
                )
            found += [(p.relative_to(path).as_posix(), str(p)) for p in files]
        elif path.exists():
            found.append((path.name, entry))
        else:
            matches = sorted(filter(os.path.isfile, glob.glob(entry, recursive=True)))
            if not matches:
                raise MissingFileError(f"no file {entry}, and nothing that matches it")
            found += [(Path(p).name, p) for p in matches]
    stems = [os.path.splitext(name)[0] for name, _ in found]
    names = {}
    for stem, (name, file) in zip(stems, found, strict=True):
        unique = stem if stems.count(stem) == 1 else name
        while unique in names:
            unique += "_"
        names[unique] = file
    return names


def predict_files(
    predictor: Predictor,
    inputs: dict[str, str],
    output_dir: str | os.PathLike,
    *,
    live: bool = False,
    frame_maps: bool = False,
    scenes: Mapping[str, Any] | None = None,
) -> list[str]:
    """Predict files and write what is found; see `Prediction.save` for images.

    Of a video the overlays are written, as ``<name>.mp4``. Instances of all go to
    ``coco_instances_results.json``, which is a valid file after each image; the segments of
    panoptic predictions to ``panoptic_segments.json``.

    Args:
        inputs: from `find_inputs`.
        live: print a JSON line for each image or frame when it is done, and keep the newest overlay
            in ``latest.jpg``.
        frame_maps: of videos also write `Prediction.save_maps` of each frame, under the names
            ``<name>/000000``, ``<name>/000001``, ...
        scenes: options of `predict_scene`, by which TIFF files are then predicted; None: as other
            images.

    Returns:
        A message for each file that could not be read; the others are predicted nevertheless.
    """
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    with (
        _JSONArray(EvaluationFiles(output_dir).coco_results) as results,
        _JSONArray(output_dir / "panoptic_segments.json") as segments,
        tqdm(total=len(inputs), unit="file", file=sys.stderr, disable=None) as bar,
    ):

        def take(name: str, prediction: Prediction, picture: Any, seconds: float) -> None:
            image_id = int(name) if name.isdigit() else name
            if prediction.instances is not None:
                results.extend(prediction.coco_results(image_id))
            if prediction.panoptic is not None:
                info = [{**s, "id": int(s["id"])} for s in prediction.panoptic[1]]
                segments.extend([{"image_id": image_id, "segments_info": info}])
            if live:
                _show(output_dir, name, prediction, picture, seconds)

        for name, file in inputs.items():
            try:
                if file.lower().endswith(VIDEOS):
                    _predict_video(predictor, name, file, output_dir, take, frame_maps)
                elif scenes is not None and file.lower().endswith(SCENES):
                    predictor.predict_scene(file, output_dir, name=name, **scenes)
                else:
                    start = time.perf_counter()
                    prediction = predictor(_image(predictor, file))
                    take(name, prediction, prediction.draw(), time.perf_counter() - start)
                    prediction.save(output_dir, name)
            except (MissingFileError, FileAccessError, DataError) as error:
                failures.append(f"{file}: {error}" if file not in str(error) else str(error))
                tqdm.write(f"skipped: {failures[-1]}", file=sys.stderr)
            bar.update()
    return failures


def _predict_video(
    predictor: Predictor,
    name: str,
    file: str,
    output_dir: Path,
    take: Callable,
    frame_maps: bool,
) -> None:
    video = VideoReader(file)
    tracker = ColorTracker()
    written = 0
    with VideoWriter(output_dir / f"{name}.mp4", video.fps) as writer:
        for frame in tqdm(
            video, total=video.frames or None, unit="frame", leave=False, disable=None
        ):
            start = time.perf_counter()
            prediction = predictor(frame)
            colors, shown = None, prediction.shown_instances
            if prediction.panoptic is None and shown is not None:
                boxes = shown.pred_boxes.tensor.numpy()
                colors = tracker.update(boxes, shown.pred_classes.tolist())
            picture = prediction.draw(colors)
            writer.write(picture)
            frame_name = f"{name}/{written:06d}"
            take(frame_name, prediction, picture, time.perf_counter() - start)
            if frame_maps:
                prediction.save_maps(output_dir, frame_name)
            written += 1
    if not written:
        raise DataError(f"{file} has no frame that can be decoded; the file is damaged or empty")


def _image(predictor: Predictor, file: str) -> Any:
    if file != STDIN:
        return file
    return predictor.reader.decode(sys.stdin.buffer.read(), "standard input")


def _show(
    output_dir: Path, name: str, prediction: Prediction, picture: Any, seconds: float
) -> None:
    line = {"image": name, "seconds": round(seconds, 4), "found": prediction.found()}
    print(json.dumps(line), flush=True)
    with atomic_path(output_dir / "latest.jpg", sync=False) as temporary:
        save_image(temporary, picture)


class _JSONArray:
    """A JSON array in a file that is valid after every addition; no file before the first."""

    def __init__(self, path: Path):
        self._path, self._first = path, True
        self._file: TextIO | None = None
        path.unlink(missing_ok=True)  # of an earlier call

    def extend(self, entries: list[dict]) -> None:
        if self._file is None:
            self._file = self._path.open("w+")
            self._file.write("[]")
        for entry in entries:
            self._file.seek(self._file.tell() - 1)
            self._file.write(("" if self._first else ",") + "\n" + json.dumps(entry) + "]")
            self._first = False
        self._file.flush()

    def __enter__(self) -> _JSONArray:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
