from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import (
    DatasetCatalog,
    DatasetMapper,
    MetadataCatalog,
    check_instance_dataset,
    check_semantic_dataset,
    load_coco_panoptic,
    read_panoptic,
    read_sem_seg,
    register_coco_panoptic,
)
from segsuite.data.checks import examine_datasets
from segsuite.data.panoptic import panoptic_to_annotations, panoptic_to_sem_seg
from segsuite.errors import UserError
from segsuite.evaluation.panoptic_files import PanopticGroundTruth
from segsuite.structures import decode_masks

NAME = "test_panoptic_set"
CATEGORIES = [
    {"id": 200, "name": "wall", "isthing": 0},
    {"id": 7, "name": "cat", "isthing": 1},
    {"id": 92, "name": "sky", "isthing": 0},
    {"id": 3, "name": "dog", "isthing": 1},
]
IDS = (0, 5, 300, 70_000, 9)


@pytest.fixture
def folder(tmp_path):
    """Five columns of two pixels: no segment, dog, wall, cat, and one the JSON does not list."""
    (tmp_path / "png").mkdir()
    segments = np.repeat(IDS, 2)[None].repeat(6, 0)
    pixels = np.stack([segments >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "png" / "a.png")
    Image.new("RGB", (10, 6)).save(tmp_path / "a.jpg")
    segments_info = [
        {"id": id_, "category_id": category, "iscrowd": 0, "area": 12, "bbox": [0, 0, 2, 6]}
        for id_, category in ((5, 3), (300, 200), (70_000, 7))
    ]
    write(tmp_path, segments_info)
    yield tmp_path
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def write(folder, segments_info, image_id=1):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 6, "width": 10}],
        "annotations": [
            {"image_id": image_id, "file_name": "a.png", "segments_info": segments_info}
        ],
        "categories": CATEGORIES,
    }
    (folder / "panoptic.json").write_text(json.dumps(content))


def load(folder):
    return load_coco_panoptic(folder / "panoptic.json", folder / "png", folder)


def test_records_and_metadata(folder):
    metadata = register_coco_panoptic(NAME, folder / "panoptic.json", folder / "png", folder)
    (record,) = DatasetCatalog.get(NAME)
    assert record["pan_seg_file_name"] == str(folder / "png" / "a.png")
    assert [(s["isthing"], s["category_id"]) for s in record["segments_info"]] == [
        (True, 0),
        (False, 2),
        (True, 1),
    ]
    assert "annotations" not in record
    assert metadata.thing_classes == ["dog", "cat"]
    assert metadata.stuff_classes == ["things", "sky", "wall"]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 7: 1}
    assert metadata.stuff_dataset_id_to_contiguous_id == {92: 1, 200: 2}
    assert metadata.evaluator_type == "coco_panoptic_seg"
    check_semantic_dataset(NAME, num_classes=3, ignore_label=255)
    with pytest.raises(ValueError, match=r"a\.png has 12 pixels of segment 9, which segments_info"):
        check_instance_dataset(NAME, num_classes=2)


def test_segments_labels_and_annotations(folder):
    (record,) = load(folder)
    segments = read_panoptic(record["pan_seg_file_name"])
    assert segments.dtype == np.int32 and segments[0, ::2].tolist() == list(IDS)
    labels = panoptic_to_sem_seg(segments, record["segments_info"])
    assert labels.dtype == np.uint8 and labels[0, ::2].tolist() == [255, 0, 2, 0, 255]
    dog, cat = panoptic_to_annotations(segments, record["segments_info"])
    assert (dog["category_id"], dog["bbox"]) == (0, [2, 0, 2, 6])
    assert (cat["category_id"], cat["bbox"]) == (1, [6, 0, 2, 6])
    mask = decode_masks([cat["segmentation"]], 6, 10)[0]
    assert np.array_equal(mask.numpy(), segments == 70_000)
    assert (panoptic_to_sem_seg(segments, []) == 255).all()


def test_samples(folder):
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (12,), 0
    (record,) = load(folder)
    sample = DatasetMapper(cfg, is_train=True)(record, np.random.default_rng(0))
    assert sample["sem_seg"].shape == sample["image"].shape[1:] == (12, 20)
    instances = sample["instances"]
    assert instances.gt_classes.tolist() == [0, 1] and len(instances.gt_masks) == 2
    labels = sample["sem_seg"]
    assert ((labels == 0) == instances.gt_masks.tensor.any(0)).all()
    sample = DatasetMapper(cfg, is_train=False)(record, np.random.default_rng(0))
    assert sample["sem_seg_gt"].shape == (6, 10) and "instances" not in sample
    Image.new("RGB", (9, 6)).save(record["pan_seg_file_name"])
    with pytest.raises(ValueError, match=r"a\.jpg has 6 x 10 pixels, its label map .*a\.png 6 x 9"):
        DatasetMapper(cfg, is_train=True)(record, np.random.default_rng(0))


def listed(*pairs):
    return [{"id": id_, "category_id": category} for id_, category in pairs]


ALL = listed((5, 3), (300, 200), (70_000, 7), (9, 92))


def check(folder, segments_info=ALL):
    """What the check before training says of the files; None: nothing."""
    write(folder, segments_info)
    return checked(folder)


def checked(folder):
    if NAME not in DatasetCatalog:
        register_coco_panoptic(NAME, folder / "panoptic.json", folder / "png", folder)
    try:
        check_semantic_dataset(NAME, num_classes=3, ignore_label=255)
        check_instance_dataset(NAME, num_classes=2)
    except ValueError as error:
        return str(error)
    return None


def test_sound_files_pass(folder, caplog):
    assert check(folder) is None
    assert not caplog.text
    crowds = [{**segment, "iscrowd": 1} for segment in ALL]
    assert check(folder, crowds) is None
    assert "all 2 objects of its 1 images are crowds" in caplog.text
    assert check(folder, [*ALL, *listed((11, 3))]) is None  # a hidden object, without a pixel
    Image.new("RGB", (10, 6)).save(folder / "png" / "a.png")
    assert check(folder, []) is None  # nothing at all


def test_missing_files(folder):
    write(folder, [], image_id=2)
    with pytest.raises(ValueError, match=r"2 images without an annotation.* 1, 2"):
        load(folder)
    (folder / "png" / "a.png").unlink()
    assert "no image file" in check(folder) and "a.png" in check(folder)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda i: i.convert("L"), "has the mode L (grey); expected 8-bit RGB"),
        (lambda i: i.convert("P"), "has the mode P (a palette)"),
        (lambda i: i.convert("RGBA"), "has the mode RGBA (an alpha channel)"),
        (lambda i: i.convert("LA"), "has the mode LA"),
        (lambda i: i.convert("1"), "has the mode 1 (black and white)"),
        (lambda i: i.convert("L").convert("I;16"), "has the mode I;16 (16-bit grey)"),
        (lambda i: i.crop((0, 0, 9, 6)), "a.jpg has 6 x 10 pixels, its label map"),
        (lambda i: i.transpose(Image.Transpose.ROTATE_90), "10 x 6 (height x width)"),
        (lambda i: Image.new("RGB", i.size), "no pixel of any of its 4 segments, such as 5"),
    ],
)
def test_png_faults(folder, change, message):
    path = folder / "png" / "a.png"
    with Image.open(path) as image:
        change(image).save(path)
    found = check(folder)
    assert message in found and "a.png" in found
    if "mode" in message:
        with pytest.raises(ValueError, match=r"a\.png has the mode"):
            read_panoptic(path)


def test_compressions_that_change_colours(folder):
    path = folder / "png" / "a.png"
    with Image.open(path) as image:
        image.save(path, format="JPEG")  # by its content, whatever the name says
    assert "a.png is a JPEG file, whose compression changes" in check(folder)


def test_sixteen_bits_a_channel(folder):
    path = folder / "png" / "a.png"
    cv2.imwrite(str(path), np.full((6, 10, 3), 7 * 256, np.uint16))
    assert "a.png has the mode RGB, 16 bits" in check(folder)


@pytest.mark.parametrize(
    "segments_info, message",
    [
        (ALL[:3], "a.png has 12 pixels of segment 9, which segments_info does not list"),
        ([], "a.png has 12 pixels of segment 5, which segments_info does not list, nor 3 others"),
        (ALL + listed((0, 92)), "a segment of a.png has the id 0, which says that a pixel has no"),
        (ALL + listed((-4, 92)), "a segment of a.png has the id -4; expected 1 to 16777215"),
        (ALL + listed((1 << 24, 92)), "a segment of a.png has the id 16777216"),
        (ALL + listed(("x", 92)), "a segment of a.png has the id 'x'"),
        (ALL + listed((5, 92)), "segment 5 of a.png is listed twice"),
        (ALL + listed((6, 4)), "segment 6 of a.png has the category 4, which is not in the list"),
        ([*ALL, {"id": 6}], "segment 6 of a.png has no 'category_id'"),
        ([*ALL, {"category_id": 3}], "a segment of a.png has no 'id'"),
        ([*ALL, 7], "a segment of a.png is 7; expected an object"),
        ([{**ALL[0], "iscrowd": "perhaps"}, *ALL[1:]], "segment 5 of a.png has iscrowd 'perhaps'"),
        ({"id": 5}, "segments_info of a.png is {'id': 5}; expected a list"),
    ],
)
def test_segment_faults(folder, segments_info, message):
    found = check(folder, segments_info)
    assert message in found
    assert "9, which" in message or "nor 3" in message or "panoptic.json" in found


@pytest.mark.parametrize("crowd", [None, 0, 1, False, True, "0", "1", 1.0])
def test_what_a_crowd_is(folder, crowd):
    write(folder, [{**ALL[0], "iscrowd": crowd, "area": None}])
    (record,) = load(folder)
    assert record["segments_info"][0]["iscrowd"] == int(crowd in (1, True, "1", 1.0))


def instances(content):
    box = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 2, 2], "iscrowd": 0}
    content["annotations"] = [{**box, "area": 4, "segmentation": [[1, 1, 3, 1, 3, 3]]}]


def without(key, of, entry=0):
    return lambda content: content[of][entry].pop(key)


def changed(of, **values):
    return lambda content: content[of][0].update(values)


@pytest.mark.parametrize(
    "change, message",
    [
        (without("isthing", "categories"), "category 200 ('wall') needs an 'isthing'"),
        (changed("categories", isthing=None), "category 200 ('wall') needs an 'isthing'"),
        (changed("categories", isthing=2), "found 2"),
        (without("id", "categories"), "a category has no 'id'"),
        (changed("categories", id=7), "category 7 is there twice (wall and cat)"),
        (changed("categories", id=[7]), "a category has the id [7]; expected a number or text"),
        (without("segments_info", "annotations"), "image 1 (a.png) has no 'segments_info'"),
        (changed("annotations", segments_info=None), "image 1 (a.png) has no 'segments_info'"),
        (without("file_name", "annotations"), "the annotation of image 1 has no 'file_name'"),
        (without("image_id", "annotations"), "an annotation has no 'image_id'"),
        (changed("annotations", image_id="2"), "2 images without an annotation"),
        (lambda c: c["annotations"].append({**c["annotations"][0], "file_name": "b.png"}),
         "annotation of image 1 is there twice (a.png and b.png)"),
        (instances, "is a file of instances: its annotations are single objects"),
        (without("id", "images"), "an image has no 'id'"),
        (without("file_name", "images"), "image 1 has no 'file_name'"),
        (changed("images", height="tall"), "image 1 (a.jpg) has the height 'tall'"),
        (changed("images", width=0), "image 1 (a.jpg) has the width 0"),
        (lambda c: c["images"].append(c["images"][0]), "image 1 is there twice (a.jpg and a.jpg)"),
        (lambda c: c.update(annotations={}), "'annotations' is an object; expected a list"),
        (lambda c: c.pop("categories"), "lacks categories"),
        (lambda c: c["annotations"].append(3), "number 1 (from 0) of 'annotations' is 3"),
        (changed("images", height=10, width=6), "a.jpg has 6 x 10 pixels"),
    ],
)  # fmt: skip
def test_json_faults(folder, change, message):
    write(folder, ALL)
    content = json.loads((folder / "panoptic.json").read_text())
    change(content)
    (folder / "panoptic.json").write_text(json.dumps(content))
    found = checked(folder)
    assert message in found
    assert "panoptic.json" in found or "a.jpg has" in message


@pytest.mark.parametrize(
    "size", [{}, {"height": None, "width": 10}, {"height": "6", "width": 10.0}]
)
def test_sizes_come_from_the_image_where_they_are_missing(folder, size):
    write(folder, ALL)
    content = json.loads((folder / "panoptic.json").read_text())
    content["images"] = [{"id": 1, "file_name": "a.jpg", **size}]
    (folder / "panoptic.json").write_text(json.dumps(content))
    assert checked(folder) is None
    (record,) = load(folder)
    assert (record["height"], record["width"]) == (6, 10)


def test_names_of_other_systems(folder):
    """Backslashes, as Windows writes them, and the signs of web addresses."""
    (folder / "b c").mkdir()
    (folder / "a.jpg").rename(folder / "b c" / "a.jpg")
    write(folder, ALL)
    content = json.loads((folder / "panoptic.json").read_text())
    content["images"][0]["file_name"] = "b%20c\\a.jpg"
    content["annotations"][0]["file_name"] = ".\\a.png"
    (folder / "panoptic.json").write_text(json.dumps(content))
    assert checked(folder) is None
    assert examine_datasets([NAME]).count("error") == 0


def places(content, place=()):
    """The keys that lead to each part of the content of a file."""
    if place:
        yield place
    if isinstance(content, (dict, list)):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from places(value, (*place, key))


VALUES = [None, "x", "1", "", -1, 0, 1.5, 1e300, math.nan, [], [1], {}, {"a": 1}, True, 2**40]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data(), st.sampled_from(VALUES))
def test_any_value_anywhere_is_read_or_told(folder, data, value):
    """By training, evaluation and the doctor alike."""
    write(folder, ALL)
    content = json.loads((folder / "panoptic.json").read_text())
    *way, key = data.draw(st.sampled_from([*places(content)]))
    part = content
    for step in way:
        part = part[step]
    part[key] = value
    (folder / "panoptic.json").write_text(json.dumps(content))
    refused = checked(folder)
    try:
        PanopticGroundTruth.read(folder / "panoptic.json", folder / "png")
    except UserError:
        assert refused
    report = examine_datasets([NAME])
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)
    if refused and "has 2 classes of objects" not in refused and "NUM_CLASSES" not in refused:
        assert report.count("error"), refused


@pytest.mark.parametrize("split", ["train", "val"])
def test_shapes(datasets_root, split):
    name = f"shapes_panoptic_{split}"
    records, semantic = DatasetCatalog.get(name), DatasetCatalog.get(f"shapes_{split}")
    check_instance_dataset(name, num_classes=5)
    metadata = MetadataCatalog.get(name)
    content = json.loads(Path(metadata.panoptic_json).read_text())
    things = [c["name"] for c in content["categories"] if c["isthing"]]
    assert things == metadata.thing_classes and len(records) == len(semantic)
    for record, other in zip(records[::20], semantic[::20], strict=True):
        segments = read_panoptic(record["pan_seg_file_name"])
        labels = read_sem_seg(other["sem_seg_file_name"])
        assert len(record["annotations"]) + 1 == len(np.unique(segments))
        for info in record["segments_info"]:
            want = info["category_id"] + 1 if info["isthing"] else 0
            assert (labels[segments == info["id"]] == want).all()


def test_built_in_names(datasets_root):
    """Facts are there without a file, and a missing file is named."""
    metadata = MetadataCatalog.get("coco_2017_val_panoptic_separated")
    assert len(metadata.thing_classes) == 80 and len(metadata.stuff_classes) == 54
    assert metadata.json_file == str(datasets_root / "coco/annotations/instances_val2017.json")
    stuff = MetadataCatalog.get("coco_2017_val_panoptic_stuffonly")
    assert stuff.stuff_classes == metadata.stuff_classes and stuff.evaluator_type == "sem_seg"
    assert MetadataCatalog.get("coco_2014_train").thing_classes[-1] == "toothbrush"
    for name, file in (
        ("coco_2017_train", r"coco/annotations/instances_train2017\.json"),
        ("coco_2017_val_panoptic_separated", r"coco/annotations/panoptic_val2017\.json"),
        ("coco_2017_train_panoptic_stuffonly", r"coco/annotations/panoptic_train2017\.json"),
        ("lvis_v1_val", r"lvis/lvis_v1_val\.json"),
    ):
        with pytest.raises(FileNotFoundError, match=file):
            DatasetCatalog.get(name)
