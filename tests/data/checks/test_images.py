"""Images of any bands and types: the quick check and the doctor say what training would make of
them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from segsuite.cli.main import main
from segsuite.config import get_cfg
from segsuite.data import (
    DatasetCatalog,
    ImageReader,
    MetadataCatalog,
    check_datasets,
    register_sem_seg_folder,
)
from segsuite.data.checks import examine_datasets
from segsuite.data.checks.pixels import pixels_text
from tests.image_files import write_tiff

pytest.importorskip("tifffile")
NAME = "test_check_of_images"


@pytest.fixture
def write(tmp_path):
    """Writes images, each with a label map, and registers them."""

    def write(*images):
        for kind in ("images", "labels"):
            (tmp_path / kind).mkdir()
        for i, pixels in enumerate(images):
            np.save(tmp_path / "images" / f"{i}.npy", pixels)
            labels = np.arange(pixels.shape[0] * pixels.shape[1]).reshape(pixels.shape[:2]) % 2
            Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels" / f"{i}.png")
        register_sem_seg_folder(NAME, tmp_path / "images", tmp_path / "labels", ["a", "b"])

    yield write
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def config(channels=3, **keys):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (NAME,)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 2
    cfg.MODEL.PIXEL_MEAN = cfg.MODEL.PIXEL_STD = [1.0] * channels
    for key, value in keys.items():
        cfg.INPUT[key] = value
    return cfg


def noise(shape, high, dtype):
    return (np.random.default_rng(0).random(shape) * high).astype(dtype)


@pytest.mark.parametrize("check_labels", [True, False])
def test_channels_are_compared_before_training(write, check_labels):
    write(noise((20, 30, 4), 255, np.uint8))
    cfg = config(4)
    cfg.DATALOADER.CHECK_LABELS = check_labels
    check_datasets(cfg)
    cfg.MODEL.PIXEL_MEAN = cfg.MODEL.PIXEL_STD = [1.0] * 5
    with pytest.raises(ValueError, match=r"0\.npy has 4 channels, but MODEL\.PIXEL_MEAN has 5"):
        check_datasets(cfg)
    cfg.MODEL.PIXEL_MEAN = cfg.MODEL.PIXEL_STD = [1.0] * 2
    cfg.INPUT.BANDS = (3, 0)
    check_datasets(cfg)
    cfg.INPUT.BANDS = (4, 0)
    with pytest.raises(ValueError, match=r"0\.npy has 4 bands, 0 to 3; INPUT\.BANDS is \[4, 0\]"):
        check_datasets(cfg)


def test_types_without_a_range_are_told_before_training(write):
    write(noise((20, 30, 3), 1, np.float32))
    with pytest.raises(ValueError, match=r"0\.npy has values of type float32 .*INPUT\.VALUE_RANGE"):
        check_datasets(config())
    check_datasets(config(VALUE_RANGE=(0, 1)))
    # What was right with one range is not taken for right with another.
    with pytest.raises(ValueError, match="no range"):
        check_datasets(config(VALUE_RANGE=("full",)))


def test_doctor_reports_depth_bands_and_range(write):
    images = [noise((20, 30, 4), 40000, np.uint16) + np.uint16(20000) for _ in range(3)]
    write(*images)
    report = examine_datasets([NAME], ImageReader(channels=4))
    pixels = report.pixels[NAME]
    assert (pixels["types"], pixels["bands"], pixels["bits"]) == ({"uint16": 3}, {"4": 3}, 16)
    assert pixels["low"] == min(i.min() for i in images)
    assert pixels["high"] == max(i.max() for i in images)
    channels = np.stack([(i / 257).round() for i in images])
    assert np.allclose(pixels["mean"], channels.mean((0, 1, 2)), atol=1e-3)
    assert np.allclose(pixels["std"], channels.std((0, 1, 2)), atol=1e-3)
    assert report.found("image-depth") == [NAME] and not report.count("error")
    assert "uint16, 16 bits, 4 bands, values 2" in pixels_text(pixels)
    json.dumps(report.to_dict())


def test_mean_over_images_of_different_sizes(write):
    images = [noise(shape, 200, np.uint8) for shape in ((20, 30, 3), (50, 64, 3))]
    images[1] //= 3
    write(*images)
    pixels = examine_datasets([NAME]).pixels[NAME]
    flat = np.concatenate([i.reshape(-1, 3) for i in images])
    assert np.allclose(pixels["mean"], flat.mean(0), atol=1e-3)
    assert np.allclose(pixels["std"], flat.std(0), atol=1e-3)


def test_doctor_finds_twelve_bits_in_sixteen(write):
    write(noise((20, 30), 4095, np.uint16))
    assert examine_datasets([NAME]).found("image-range") == [NAME]
    for limits in ((0, 4095), ("2%", "98%")):
        assert not examine_datasets([NAME], ImageReader(value_range=limits)).found("image-range")
    clipped = examine_datasets([NAME], ImageReader(value_range=(0, 2000))).to_dict()["findings"]
    (finding,) = [f for f in clipped if f["kind"] == "image-range"]
    assert "% of the values lie beyond 0 to 2000" in finding["items"][0]["detail"]


def test_doctor_reports_what_training_refuses(write):
    write(noise((20, 30, 5), 1, np.float64), noise((20, 30), 9, np.int16))
    report = examine_datasets([NAME])
    assert [f[-5:] for f in report.found("image-unfit")] == ["0.npy", "1.npy"]
    assert report.count("error") == 2
    report = examine_datasets([NAME], ImageReader(channels=3, value_range=(0, 1)))
    assert [f[-5:] for f in report.found("image-unfit")] == ["0.npy"]


def test_doctor_reports_several_types_and_blank_images(write):
    write(noise((20, 30), 255, np.uint8), noise((20, 30), 65535, np.uint16),
          np.full((20, 30), 700, np.uint16))  # fmt: skip
    report = examine_datasets([NAME])
    assert report.found("image-types") == [NAME]
    assert [f[-5:] for f in report.found("image-blank")] == ["2.npy"]


def test_damaged_arrays_and_tiffs(write, tmp_path):
    write(noise((20, 30), 255, np.uint8), noise((20, 30), 255, np.uint8))
    for i, path in enumerate([tmp_path / "images/0.npy", tmp_path / "images/1.tif"]):
        if path.suffix == ".tif":
            (tmp_path / "images/1.npy").unlink()
            write_tiff(path, noise((20, 30, 3), 65535, np.uint16))
        path.write_bytes(path.read_bytes()[:-200])
        assert len(examine_datasets([NAME]).found("image-truncated")) == i + 1
        with pytest.raises(ValueError, match=rf"{path} can't be decoded"):
            check_datasets(config())


def test_command(write, tmp_path, capsys):
    write(noise((20, 30, 4), 1, np.float32))
    (tmp_path / "c.yaml").write_text(
        "DATASETS:\n"
        "  REGISTER: {mine: {IMAGES: images, LABELS: labels, CLASSES: [a, b]}}\n"
        "  TRAIN: [mine]\n"
        "MODEL: {PIXEL_MEAN: [1, 1, 1, 1], PIXEL_STD: [1, 1, 1, 1]}\n"
    )
    command = ["check", "--config-file", str(tmp_path / "c.yaml")]
    with pytest.raises(SystemExit):
        main(command)
    assert "error: image-unfit (1) in mine" in capsys.readouterr().out
    main([*command, "INPUT.VALUE_RANGE", "[0, 1]"])
    assert "mine: float32, 32 bits, 4 bands, values" in capsys.readouterr().out
    DatasetCatalog.remove("mine")
