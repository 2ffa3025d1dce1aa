"""Predictions of scenes: GeoTIFFs that are read, predicted and written window by window."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from segsuite.config import CfgNode
from segsuite.data import Metadata
from segsuite.data.image import channel_order
from segsuite.data.palette import default_colors, rgb
from segsuite.data.scene import Scene, import_rasterio, open_raster
from segsuite.errors import ConfigError
from segsuite.modeling import build_inference
from segsuite.modeling.inference import SlidingWindow, TiledInstances
from segsuite.modeling.inference.joining import Piece, join_pieces
from segsuite.structures import SemSegLogits, WindowMasks
from segsuite.structures.image_masks import Window
from segsuite.utils.files import atomic_path
from segsuite.visualization import draw_instances, overlay, save_image

from .geojson import Features, instance_geometry, label_geometries, write_geojson

if TYPE_CHECKING:
    from .predictor import Predictor

logger = logging.getLogger(__name__)

SUFFIXES = (".tif", ".tiff")
_BLOCK = 256  # rows and columns of a written file's blocks
_NO_LABEL = 255
_OVERVIEW = 2000
_CACHE = 256  # MB of blocks that GDAL keeps; its default is a share of the machine's memory


def predict_scene(
    predictor: Predictor,
    file: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    name: str | None = None,
    *,
    geojson: str | None = None,
    scale: float = 1.0,
) -> list[Path]:
    """Predict a GeoTIFF of any size and write what is found, with its coordinates.

    A semantic model gives ``labels/<name>.tif``, the class of each pixel, with the colours and
    names of the classes, and 255 (65535 for more than 255 classes) where the scene has no data; a
    detector ``instances/<name>.tif``, the number of the object that is seen at each pixel, counted
    from the best score on, and 0 for none. ``<name>.jpg`` is an overview. Besides what is found, in
    memory is one row of windows, see TEST.SLIDING_WINDOW.

    Args:
        predictor: of a semantic model or a detector.
        file: a GeoTIFF.
        name: of the files; None: that of the file without its ending.
        geojson: also write ``<name>.geojson``, the outlines of objects or of the regions of a
            class: "rfc7946", with longitude and latitude as that standard asks for, or "file", in
            the coordinates of the file, whose system the member ``crs`` then names, as many GIS
            programs read it. None: don't.
        scale: the scene is enlarged by this factor before it is predicted; below 1 it is shrunk.
            What is written has the pixels of the file.

    Returns:
        The files, the overview first.

    Raises:
        MissingPackageError, MissingFileError: see `Scene`.
        DataError: no GeoTIFF, or for GeoJSON one without a coordinate reference system.
        ConfigError: the model is none of these.
    """
    name = Path(file).stem if name is None else name
    cfg, model = predictor.cfg, _windows(predictor)
    folder = Path(output_dir)
    with (
        import_rasterio().Env(GDAL_CACHEMAX=_CACHE),
        Scene(file, predictor.reader, image_format=channel_order(cfg), scale=scale) as scene,
        torch.inference_mode(),
    ):
        shape = {"height": scene.size[0], "width": scene.size[1], "file_name": str(file)}
        record = {"image": scene, **shape}
        features = None if geojson is None else Features(scene.crs, geojson, str(file))
        if isinstance(model, SlidingWindow):
            written = _semantic(model, record, predictor.metadata, folder, name, features)
        else:
            written = _instances(model, record, predictor, folder, name, features)
    return written


def _windows(predictor: Predictor) -> SlidingWindow | TiledInstances:
    """The predictor's model, in windows."""
    cfg: CfgNode = predictor.cfg.clone()
    if cfg.TEST.AUG.ENABLED:
        raise ConfigError("scenes are predicted at one scale; set TEST.AUG.ENABLED to False")
    if cfg.INPUT.MIN_SIZE_TEST:
        logger.warning(
            "INPUT.MIN_SIZE_TEST is %d, but a scene is predicted at its own resolution times "
            "--scale, which should be that of the training images as they were fed",
            cfg.INPUT.MIN_SIZE_TEST,
        )
    cfg.defrost()
    cfg.TEST.SLIDING_WINDOW.ENABLED = True
    model = build_inference(cfg, predictor.model)
    if not isinstance(model, (SlidingWindow, TiledInstances)):
        raise ConfigError(
            f"a {type(predictor.model).__name__} can't predict scenes; semantic models and "
            "detectors can"
        )
    return model


def _semantic(
    model: SlidingWindow,
    record: dict[str, Any],
    metadata: Metadata,
    folder: Path,
    name: str,
    features: Features | None,
) -> list[Path]:
    scene: Scene = record["image"]
    names = metadata.stuff_classes
    colors = metadata.get("stuff_colors") or default_colors(len(names))
    dtype = np.uint8 if len(names) <= _NO_LABEL else np.uint16
    nodata = int(np.iinfo(dtype).max)
    path = folder / "labels" / f"{name}.tif"
    tags = {f"CLASS_{i}": n for i, n in enumerate(names)}
    with atomic_path(path) as temporary:
        with _create(temporary, scene, dtype, nodata) as written:
            if dtype is np.uint8:
                written.write_colormap(1, {i: (*rgb(c), 255) for i, c in enumerate(colors)})
            written.update_tags(1, **tags)
            for top, labels in _rows_of_blocks(_label_rows(model, record)):
                rows = slice(top, top + len(labels))
                labels = np.where(scene.valid(rows), labels, nodata).astype(dtype)
                written.write(labels, 1, window=((rows.start, rows.stop), (0, scene.size[1])))
        picture = scene.overview(_OVERVIEW)
        with open_raster(temporary) as written:
            small = written.read(1, out_shape=picture.shape[:2]).astype(np.int32)
        geometries = None
        if features is not None:
            geometries = write_geojson(
                folder / f"{name}.geojson",
                features,
                label_geometries(temporary, names),
            )
    files = [folder / f"{name}.jpg", path]
    save_image(files[0], overlay(picture, np.where(small == nodata, -1, small), colors))
    return files if geometries is None else [*files, geometries]


def _label_rows(model: SlidingWindow, record: dict[str, Any]) -> Iterator[tuple[int, np.ndarray]]:
    for rows, logits in model.bands(record):
        size = (logits.shape[1], logits.shape[2])
        yield rows.start, SemSegLogits(logits, size, size).labels().cpu().numpy()


def _rows_of_blocks(
    parts: Iterator[tuple[int, np.ndarray]],
) -> Iterator[tuple[int, np.ndarray]]:
    """The same rows in the heights of blocks, each of which is then written once."""
    waiting: list[np.ndarray] = []
    top = count = 0
    for _, part in parts:
        waiting.append(part)
        count += len(part)
        while count >= _BLOCK:
            joined = np.concatenate(waiting)
            yield top, joined[:_BLOCK]
            waiting, count, top = [joined[_BLOCK:]], count - _BLOCK, top + _BLOCK
    if count:
        yield top, np.concatenate(waiting)


def _instances(
    model: TiledInstances,
    record: dict[str, Any],
    predictor: Predictor,
    folder: Path,
    name: str,
    features: Features | None,
) -> list[Path]:
    scene: Scene = record["image"]
    metadata = predictor.metadata
    pieces = [piece for tile in model.tiles(record) for piece in tile]
    found = join_pieces(pieces, model.nms_threshold)
    shown = [piece for piece in found if piece.score >= predictor.min_score]
    shown.sort(key=lambda piece: -piece.score)
    path = folder / "instances" / f"{name}.tif"
    with atomic_path(path) as temporary, _create(temporary, scene, np.uint32, 0) as written:
        for top in range(0, scene.size[0], _BLOCK):
            ids = _ids(shown, top, min(top + _BLOCK, scene.size[0]), scene.size[1])
            written.write(ids, 1, window=((top, top + len(ids)), (0, scene.size[1])))
    files = [folder / f"{name}.jpg", path]
    save_image(files[0], _draw(shown, scene, metadata.thing_classes))
    if features is not None:
        described = (
            (
                {
                    "id": number,
                    "class": metadata.thing_classes[piece.label],
                    "score": round(piece.score, 4),
                },
                instance_geometry(piece, scene.transform),
            )
            for number, piece in enumerate(shown, 1)
        )
        files.append(write_geojson(folder / f"{name}.geojson", features, described))
    return files


def _ids(pieces: Sequence[Piece], top: int, bottom: int, width: int) -> np.ndarray:
    """(rows, W) uint32: the number of the best object at each pixel."""
    ids = np.zeros((bottom - top, width), np.uint32)
    for number in range(len(pieces), 0, -1):
        y, x, mask = pieces[number - 1].window()
        first, last = max(y, top), min(y + mask.shape[0], bottom)
        if first < last:
            part = mask[first - y : last - y].numpy()
            ids[first - top : last - top, x : x + mask.shape[1]][part] = number
    return ids


def _draw(pieces: Sequence[Piece], scene: Scene, names: Sequence[str]) -> np.ndarray:
    """The overview with all objects."""
    picture = scene.overview(_OVERVIEW)
    scale = picture.shape[0] / scene.size[0], picture.shape[1] / scene.size[1]
    boxes = [[v * s for v, s in zip(p.box, scale[::-1] * 2, strict=True)] for p in pieces]
    texts = [f"{names[p.label]} {100 * p.score:.0f}%" for p in pieces]
    masks = WindowMasks([_shrunk(p, scale, picture.shape[:2]) for p in pieces], picture.shape[:2])
    return draw_instances(picture, np.array(boxes), masks=masks, texts=texts)


def _shrunk(piece: Piece, scale: tuple[float, float], size: tuple[int, ...]) -> Window:
    y, x, mask = piece.window()
    top, left = min(int(y * scale[0]), size[0] - 1), min(int(x * scale[1]), size[1] - 1)
    height = min(max(round(mask.shape[0] * scale[0]), 1), size[0] - top)
    width = min(max(round(mask.shape[1] * scale[1]), 1), size[1] - left)
    pixels = mask.numpy().view(np.uint8)
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return top, left, torch.from_numpy(resized).bool()


def _create(path: Path, scene: Scene, dtype: type, nodata: int) -> Any:
    """A new GeoTIFF of one band in the place of a scene."""
    rasterio = import_rasterio()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=scene.size[0],
            width=scene.size[1],
            count=1,
            dtype=np.dtype(dtype).name,
            crs=scene.crs,
            transform=scene.transform,
            nodata=nodata,
            tiled=True,
            blockxsize=_BLOCK,
            blockysize=_BLOCK,
            compress="deflate",
            bigtiff="if_safer",
        )
