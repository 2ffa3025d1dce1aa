import io
import json
import shutil
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.data import Metadata
from segsuite.predict.predict_files import find_inputs, predict_files
from segsuite.predict.predictor import Predictor
from segsuite.structures import Boxes, Instances
from segsuite.structures.rle import decode_masks
from segsuite.visualization import Prediction
from segsuite.visualization.video import VideoReader
from tests.finished_runs import tiny_images, tiny_run


class OneBox:
    """A predictor that finds a brighter box where there is one."""

    metadata = Metadata("boxes").set(
        thing_classes=["box"], thing_dataset_id_to_contiguous_id={7: 0}
    )

    def __call__(self, image):
        image = image if isinstance(image, np.ndarray) else np.asarray(Image.open(image))
        mask = torch.from_numpy(image[..., 0] > 128)
        ys, xs = mask.nonzero(as_tuple=True)
        box = [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]]
        instances = Instances(
            image.shape[:2],
            pred_boxes=Boxes(torch.tensor(box).float()),
            scores=torch.tensor([0.9]),
            pred_classes=torch.tensor([0]),
            pred_masks=mask[None],
        )
        return Prediction(image, {"instances": instances}, self.metadata)


def frame(x):
    image = np.full((48, 64, 3), 40, np.uint8)
    image[10:30, x : x + 16] = 220
    return image


def test_names_of_inputs(tmp_path):
    for name in ("a.png", "sub/a.png", "sub/b.jpg", "sub/b.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_inputs([str(tmp_path)]).keys() == {"a", "sub/a", "sub/b.jpg", "sub/b.png"}
    twice = find_inputs([str(tmp_path / "a.png"), str(tmp_path / "sub" / "*.png"), "-"])
    assert twice.keys() == {"a.png", "a.png_", "b", "stdin"}
    with pytest.raises(FileNotFoundError, match="nothing that matches"):
        find_inputs([str(tmp_path / "*.webp")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no image or video"):
        find_inputs([str(tmp_path / "empty")])


def test_semantic_predictions_of_a_folder_with_a_damaged_file(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for file in tiny_images():
        shutil.copy(file, folder)
    (folder / "01.png").write_bytes((folder / "01.png").read_bytes()[:300])
    predictor = Predictor(tiny_run())
    capsys.readouterr()  # what the run has logged
    failures = predict_files(predictor, find_inputs([str(folder)]), tmp_path / "out", live=True)
    assert len(failures) == 1 and str(folder / "01.png") in failures[0]
    for name in ("00", "02", "03"):
        labels = Image.open(tmp_path / "out" / "labels" / f"{name}.png")
        assert labels.mode == "P"
        assert (np.asarray(labels) == predictor(folder / f"{name}.png").labels).all()
        assert Image.open(tmp_path / "out" / f"{name}.jpg").size == (32, 32)
    assert not (tmp_path / "out" / "coco_instances_results.json").exists()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == ["00", "02", "03"]
    assert (tmp_path / "out" / "latest.jpg").exists()


def test_instances_in_cocos_format(tmp_path):
    Image.fromarray(frame(20)).save(tmp_path / "000042.png")
    assert not predict_files(OneBox(), find_inputs([str(tmp_path / "*.png")]), tmp_path / "out")
    (result,) = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    assert result["image_id"] == 42 and result["category_id"] == 7
    assert result["bbox"] == [20, 10, 16, 20] and result["score"] == pytest.approx(0.9)
    mask = decode_masks([result["segmentation"]], 48, 64)[0].numpy()
    assert (mask == (frame(20)[..., 0] > 128)).all()


def write_video(path):
    fourcc = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), fourcc, 10, (64, 48))
    for i in range(5):
        writer.write(frame(10 + 4 * i))
    writer.release()


def test_label_maps_of_frames_are_written_without_loss(tmp_path):
    write_video(tmp_path / "in.mp4")
    predictor, inputs = Predictor(tiny_run()), find_inputs([str(tmp_path / "in.mp4")])
    assert not predict_files(predictor, inputs, tmp_path / "out", frame_maps=True)
    frames = list(VideoReader(tmp_path / "in.mp4"))
    files = sorted((tmp_path / "out" / "labels" / "in").iterdir())
    assert [f.name for f in files] == [f"{i:06d}.png" for i in range(5)]
    for file, pixels in zip(files, frames, strict=True):
        assert (np.asarray(Image.open(file)) == predictor(pixels).labels).all()
    assert not predict_files(predictor, inputs, tmp_path / "other")
    assert [f.name for f in (tmp_path / "other").iterdir()] == ["in.mp4"]


def test_video_keeps_colours_and_size(tmp_path):
    write_video(tmp_path / "in.mp4")
    assert not predict_files(OneBox(), find_inputs([str(tmp_path / "in.mp4")]), tmp_path / "out")
    video = cv2.VideoCapture(str(tmp_path / "out" / "in.mp4"))
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (5, 10)
    results = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    assert [r["image_id"] for r in results] == [f"in/{i:06d}" for i in range(5)]

    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (failure,) = predict_files(OneBox(), {"bad": str(tmp_path / "bad.mp4")}, tmp_path / "out")
    assert "not a video" in failure


def test_standard_input(tmp_path, monkeypatch):
    file = tiny_images()[0]
    for content, failed in ((file.read_bytes(), 0), (b"text", 1)):
        pipe = io.TextIOWrapper(io.BytesIO(content))
        monkeypatch.setattr(sys, "stdin", pipe)
        failures = predict_files(Predictor(tiny_run()), {"stdin": "-"}, tmp_path / "out")
        assert len(failures) == failed
    assert "4 bytes of standard input are not an image" in failures[0]
    assert (tmp_path / "out" / "labels" / "stdin.png").exists()
