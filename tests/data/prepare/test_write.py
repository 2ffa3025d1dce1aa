import json

import numpy as np
import pytest
from PIL import Image

from segsuite.cli import main
from segsuite.data import DatasetCatalog, MetadataCatalog
from segsuite.data.datasets import load_coco_json
from segsuite.data.datasets.exchange import load_annotations
from segsuite.data.datasets.yolo import YOLOReader
from segsuite.data.prepare.write import write_coco, write_yolo
from segsuite.errors import ConfigError, DataError
from segsuite.structures import decode_masks, encode_masks, to_rle

SIZE = (30, 40)
POLYGON = [2.5, 3.0, 20.25, 4.0, 10.0, 25.5]


@pytest.fixture
def register(tmp_path):
    """Register records of one image, or two, in a folder each."""
    names = []

    def register(name, *labels, classes=("cat", "dog"), **facts):
        records = []
        for number, label in enumerate(labels):
            file = tmp_path / "images" / str(number) / "a.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE[::-1]).save(file)
            records.append({"file_name": str(file), "image_id": number, **label})
        DatasetCatalog.register(name, lambda: records)
        MetadataCatalog.get(name).set(**(facts or {"thing_classes": list(classes)}))
        names.append(name)
        return name

    yield register
    for name in names:
        DatasetCatalog.remove(name)


def annotation(segmentation=None, category=0, **keys):
    base = {"category_id": category, "bbox": [2.5, 3, 17.75, 22.5], "iscrowd": 0, **keys}
    return base if segmentation is None else {**base, "segmentation": segmentation}


def ring():
    mask = np.zeros(SIZE, bool)
    mask[5:20, 6:30] = True
    mask[8:15, 10:20] = False
    mask[25:28, 2:5] = True
    return mask


def rle(mask):
    import torch

    return encode_masks(torch.from_numpy(mask)[None])[0]


def masks(record):
    return [
        decode_masks([to_rle(a["segmentation"], *SIZE)], *SIZE)[0].numpy()
        for a in record["annotations"]
    ]


def test_coco_keeps_polygons_and_run_lengths(register, tmp_path):
    objects = [annotation([POLYGON]), annotation(rle(ring()), 1), annotation(iscrowd=1)]
    name = register("written", {"annotations": objects}, {"annotations": []})
    file, root = write_coco(name, tmp_path / "out")
    assert root == tmp_path / "images"
    content = json.loads(file.read_text())
    assert [i["file_name"] for i in content["images"]] == ["0/a.png", "1/a.png"]
    assert content["annotations"][0]["segmentation"] == [POLYGON]
    first, second = load_coco_json(file, root, "written_again")
    assert MetadataCatalog.get("written_again").thing_classes == ["cat", "dog"]
    assert (masks({"annotations": first["annotations"][:2]})[1] == ring()).all()
    assert second["annotations"] == [] and first["annotations"][2]["iscrowd"] == 1


def test_yolo_keeps_the_pixels(register, tmp_path):
    outside = [-5.0, 3, 60, 4, 10, 25]
    parts = [[2.0, 2, 8, 2, 8, 8, 2, 8], [6.0, 6, 14, 6, 14, 14, 6, 14]]
    objects = [annotation(s) for s in ([POLYGON], rle(ring()), [outside], parts)]
    objects += [annotation(category=1), annotation([POLYGON], iscrowd=1)]
    name = register("written", {"annotations": objects}, {"annotations": []})
    data = write_yolo({"val": name}, tmp_path / "out")
    first, second = load_annotations(YOLOReader(str(data), "val"))
    assert second["annotations"] == [] and len(first["annotations"]) == 5
    box = first["annotations"].pop()
    assert box["category_id"] == 1 and np.allclose(box["bbox"], [2.5, 3, 17.75, 22.5])
    expected = masks({"annotations": objects[:4]})
    for mask, true in zip(masks(first), expected, strict=True):
        assert (mask == true).all()
    lines = (tmp_path / "out" / "labels" / "val" / "0" / "a.txt").read_text().splitlines()
    assert lines[0] == "0 0.0625 0.1 0.50625 0.13333333 0.25 0.85"


def test_semantic_regions_and_panoptic_things_are_objects(register, tmp_path):
    labels = np.full(SIZE, 255, np.uint8)
    labels[ring()] = 1
    labels[0:3] = 0
    Image.fromarray(labels).save(tmp_path / "labels.png")
    semantic = {"sem_seg_file_name": str(tmp_path / "labels.png")}
    facts = {"stuff_classes": ["sky", "roof"], "ignore_label": 255, "label_map": None}
    file, root = write_coco(register("written", semantic, **facts), tmp_path / "out")
    (record,) = load_coco_json(file, root)
    assert [a["category_id"] for a in record["annotations"]] == [0, 1, 1]
    sky, *roofs = masks(record)
    assert (sky == (labels == 0)).all() and (roofs[0] | roofs[1] == ring()).all()
    ids = np.zeros((*SIZE, 3), np.uint8)
    ids[ring()] = (4, 1, 0)
    Image.fromarray(ids).save(tmp_path / "panoptic.png")
    info = [{"id": 260, "isthing": True, "category_id": 0, "iscrowd": 0}]
    panoptic = {"pan_seg_file_name": str(tmp_path / "panoptic.png"), "segments_info": info}
    file, root = write_coco(register("written_too", panoptic), tmp_path / "out")
    assert (masks(load_coco_json(file, root)[0])[0] == ring()).all()


def test_what_can_not_be_written(register, tmp_path):
    first = register("written", {"annotations": [annotation([POLYGON])]})
    other = register("written_too", {"annotations": []}, classes=("dog", "cat"))
    with pytest.raises(DataError, match="classes of data set 'written_too' are dog, cat"):
        write_yolo({"train": first, "val": other}, tmp_path / "out")
    for splits, images in (({"training": first}, "copy"), ({}, "copy"), ({"val": first}, "keep")):
        with pytest.raises(ConfigError, match="expected train, val or test"):
            write_yolo(splits, tmp_path / "out", images)
    with pytest.raises(ConfigError, match="images is 'move'; expected one of keep, copy, link"):
        write_coco(first, tmp_path / "out", "move")
    with pytest.raises(DataError, match="neither annotations nor labels"):
        write_coco(register("written_none", {}), tmp_path / "out")


class TestCommand:
    def test_an_export_without_registering_it(self, tmp_path, capsys):
        photos = tmp_path / "photos"
        photos.mkdir()
        Image.new("RGB", (60, 40)).save(photos / "a.jpg")
        corners = [[4, 4], [20, 4], [20, 16], [4, 16]]
        shapes = [{"label": n, "points": corners, "shape_type": "polygon"} for n in ("b", "a")]
        content = {"shapes": shapes, "imagePath": "a.jpg", "imageHeight": 40, "imageWidth": 60}
        (photos / "a.json").write_text(json.dumps(content))
        out = tmp_path / "out"
        words = ["--from", "labelme", f"ANNOTATIONS={photos}", "CLASSES=[b, a]"]
        main(["convert-data", *words, "--to", "coco", "--output", str(out)])
        assert "1 images with 2 objects" in capsys.readouterr().out
        written = json.loads((out / "labelme.json").read_text())
        assert [c["name"] for c in written["categories"]] == ["b", "a"]
        main(["convert-data", *words, "--to", "yolo", "--output", str(out), "--images", "link"])
        assert (out / "images" / "train" / "a.jpg").is_symlink()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--from", "labelme", "photos", "--to", "coco"], "'photos' is no KEY=VALUE"),
            (["--from", "labelmi", "A=b", "--to", "coco"], "labelmi"),
            (["training=shapes_train", "--to", "yolo"], "split 'training'; expected train, val"),
            (["no_such_set", "--to", "coco"], "no_such_set"),
        ],
    )
    def test_what_the_words_must_not_be(self, words, message, tmp_path, capsys):
        with pytest.raises(SystemExit) as ended:
            main(["convert-data", *words, "--output", str(tmp_path / "out")])
        assert ended.value.code == 2 and message in capsys.readouterr().err
