"""Values that files really have: training, checks, fixes and every engine read them alike."""

from __future__ import annotations

import json
import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segsuite.data import DatasetCatalog, MetadataCatalog
from segsuite.data.checks import check_instance_dataset
from segsuite.data.datasets.coco_annotations import clean_annotation
from segsuite.data.datasets.coco_cache import pack_instances
from segsuite.data.datasets.coco_faults import Faults, Outcome
from segsuite.data.datasets.coco_reading import parse_instances
from segsuite.errors import DataError, UserError
from segsuite.evaluation.coco import COCOEvaluator
from segsuite.utils import json_list
from segsuite.utils.json_list import split_json

from .odd_worlds import (
    ENGINES,
    HEIGHT,
    MISSING,
    NAME,
    POLYGONS,
    WIDTH,
    World,
    box_of,
    changed,
    make_content,
    make_results,
    rle_of,
)

NAN, INF = math.nan, math.inf
BOX = box_of(POLYGONS[0])
ODD = {
    "missing": MISSING,
    "null": None,
    "nan": NAN,
    "inf": INF,
    "minus": -3,
    "zero": 0,
    "huge": 10**400,
    "large": 3e8,
    "text": "abc",
    "digits": "1",
    "empty text": "",
    "float": 1.0,
    "half": 1.5,
    "true": True,
    "false": False,
    "list": [1],
    "empty list": [],
    "nested": [[[[1]]]],
    "object": {"a": 1},
}
KEYS = {
    "images": ("id", "file_name", "height", "width"),
    "categories": ("id", "name"),
    "annotations": (
        *("id", "image_id", "category_id", "bbox", "iscrowd", "ignore", "area", "segmentation"),
    ),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    yield World(tmp_path_factory.mktemp("world"))
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def same(first: Any, second: Any) -> bool:
    """Equal, NaN and rounding aside."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, float) and isinstance(second, float):
        return first == pytest.approx(second, rel=0, abs=1e-7, nan_ok=True)
    return bool(first == second)


def check_agreement(world: World) -> tuple[Any, Any]:
    """What training and evaluation make of a world: one answer or one refusal of all."""
    trained = world.train()
    names = MetadataCatalog.get(NAME).get("thing_classes")
    figures = [world.evaluate(engine) for engine in ENGINES]
    for other in figures[1:]:
        assert same(figures[0], other)
    if isinstance(trained, str):
        return trained, figures[0]
    if isinstance(figures[0], dict) and figures[0]:
        learned = [a for a in trained if not a["iscrowd"]]
        for task, of_task in figures[0].items():
            for k, class_name in enumerate(names):
                objects = [
                    a
                    for a in learned
                    if a["category_id"] == k and (task == "bbox" or "segmentation" in a)
                ]
                assert math.isnan(of_task[f"AP-{class_name}"]) == (not objects), (task, class_name)
    return trained, figures[0]


@pytest.mark.parametrize(
    "which, key", [(which, key) for which, keys in KEYS.items() for key in keys]
)
def test_every_key_with_every_odd_value(world, which, key):
    for title, value in ODD.items():
        world.write(changed(key, value, which))
        trained, figures = check_agreement(world)
        found = world.examine()
        if isinstance(trained, str):
            assert "gt.json" in trained or "image" in trained, (title, trained)
            # What training refuses is an error of the doctor's, and of the evaluation's.
            assert any(severity == "error" for severity, _ in found), (title, trained)
        else:
            assert isinstance(figures, dict), (title, figures)
        world.fix()


@pytest.mark.parametrize("which, value", [*product(KEYS, (MISSING, None, {}, 3, "x", [3], [None]))])
def test_lists_that_are_none(world, which, value):
    content = make_content()
    content[which] = value
    if value is MISSING:
        del content[which]
    world.write(content)
    trained, figures = check_agreement(world)
    assert isinstance(trained, str) and "gt.json" in trained and which in trained
    if which == "annotations" and value in (MISSING, None):
        assert figures == {}
        check_instance_dataset(NAME, num_classes=2, for_training=False)
        assert ("warning", "annotations-missing") in world.examine()
    else:
        assert isinstance(figures, str) and which in figures
        assert ("error", "dataset-unreadable") in world.examine()


@pytest.mark.parametrize(
    "key, value, box, mask",
    [
        ("bbox", [str(v) for v in BOX], BOX, True),
        ("bbox", [float(v) for v in BOX], BOX, True),
        ("bbox", None, BOX, True),
        ("bbox", [*BOX, 0.5], None, False),
        ("bbox", BOX[:3], None, False),
        ("bbox", [NAN] * 4, None, False),
        ("bbox", [8, 10, INF, 50], None, False),
        ("bbox", [8, 10, -38, 50], None, False),
        ("bbox", [800, 10, 38, 50], None, False),
        ("bbox", [8, 10, 38, 3e8], [8, 10, 38, 62], True),
        ("segmentation", POLYGONS[0], BOX, True),
        ("segmentation", [*zip(POLYGONS[0][::2], POLYGONS[0][1::2], strict=True)], BOX, True),
        ("segmentation", json.dumps([POLYGONS[0]]), BOX, True),
        ("segmentation", json.dumps(rle_of(POLYGONS[0])), BOX, True),
        ("segmentation", rle_of(POLYGONS[0]), BOX, True),
        ("segmentation", {**rle_of(POLYGONS[0]), "size": [float(HEIGHT), str(WIDTH)]}, BOX, True),
        ("segmentation", [POLYGONS[0], [1, 2, 3, 4]], BOX, True),
        ("segmentation", [POLYGONS[0], [NAN] * 6], BOX, True),
        ("segmentation", [POLYGONS[0], [500, 500, 510, 500, 510, 510]], BOX, True),
        ("segmentation", [], BOX, False),
        ("segmentation", [[]], BOX, False),
        ("segmentation", [[1, 2, 3, 4]], BOX, False),
        ("segmentation", [[*POLYGONS[0], 3]], BOX, False),
        ("segmentation", [["x"] * 8], BOX, False),
        ("segmentation", [[10**400] * 8], BOX, False),
        ("segmentation", [[NAN, *POLYGONS[0][1:]]], BOX, False),
        ("segmentation", [[10, 12, 3e8, 14, 46, 50, 20, 60]], BOX, True),
        ("segmentation", [[10, 12, 2e8, 14, 46, 1e300, 20, 60]], BOX, True),
        ("segmentation", [[2e8, 1, 3e8, 1, 3e8, 2e8]], BOX, False),
        ("segmentation", {"size": [HEIGHT, WIDTH], "counts": [100, 50]}, BOX, False),
        ("segmentation", {"size": [HEIGHT, WIDTH], "counts": [7300, -100]}, BOX, False),
        ("segmentation", {"size": [HEIGHT, WIDTH], "counts": "~~~"}, BOX, False),
        ("segmentation", {"size": [HEIGHT, WIDTH], "counts": None}, BOX, False),
        ("segmentation", {"size": [WIDTH, HEIGHT], "counts": [7200]}, BOX, False),
        ("segmentation", {"counts": [7200]}, BOX, False),
    ],
)  # fmt: skip
def test_boxes_and_masks(world, caplog, key, value, box, mask):
    world.write(changed(key, value))
    trained, _ = check_agreement(world)
    of_first = [a for a in trained if a["id"] == 1]
    assert len(trained) == len(of_first) + 1 and bool(of_first) == (box is not None)
    if of_first:
        assert of_first[0]["bbox"] == pytest.approx(box) and ("segmentation" in of_first[0]) == mask
    if value not in ([float(v) for v in BOX], rle_of(POLYGONS[0])):
        # Whatever is not as the format has it, or will not be learned, is said by its id.
        assert "annotation 1" in caplog.text or "size" in value
    fixed = world.fix()
    assert {a["id"] for a in fixed} >= {a["id"] for a in trained}


@pytest.mark.parametrize(
    "key, value, is_crowd",
    [
        *(("iscrowd", v, False) for v in (None, 0, 0.0, False, "0", "false", "")),
        *(("iscrowd", v, True) for v in (1, 1.0, True, "1", "true", "True")),
        *(("ignore", v, True) for v in (1, "1", True)),
        *((key, v, None) for key in ("iscrowd", "ignore") for v in (2, -1, NAN, "maybe", [0], {})),
    ],
)
def test_flags(world, key, value, is_crowd):
    world.write(changed(key, value), make_results()[1:])
    trained, figures = check_agreement(world)
    if is_crowd is None:
        assert isinstance(trained, str) and f"annotation 1): {key} is" in trained
        assert isinstance(figures, str)
        return
    assert [bool(a["iscrowd"]) for a in trained] == [is_crowd, False]
    assert figures["bbox"]["AP"] == pytest.approx(100 if is_crowd else 50)


@pytest.mark.parametrize("area", [MISSING, None, NAN, INF, -5, "x", [], True])
@pytest.mark.parametrize("keys", [("bbox",), ("segmentation",), ("bbox", "segmentation")])
def test_the_area_of_a_mask_is_its_own(world, area, keys):
    """A triangle of 780 pixels, small, in a box of 1600, medium."""
    triangle = [5, 5, 45, 5, 5, 45]
    content = changed("area", area)
    content["annotations"][0] |= {"segmentation": [triangle], "bbox": box_of(triangle)}
    del content["annotations"][1:]
    result = make_results()[0] | {"segmentation": rle_of(triangle), "bbox": box_of(triangle)}
    dropped = {"bbox", "segmentation"}.difference(keys)
    world.write(content, [{k: v for k, v in result.items() if k not in dropped}])
    _, figures = check_agreement(world)
    for of_task in figures.values():
        assert of_task["APs"] == pytest.approx(100) and math.isnan(of_task["APm"])


def test_the_area_of_a_box_without_a_mask(world):
    content = changed("area", None)
    content["annotations"][0]["segmentation"] = None
    del content["annotations"][1:]
    world.write(content, [{k: v for k, v in make_results()[0].items() if k != "segmentation"}])
    figures = world.evaluate(ENGINES[-1])
    assert figures["bbox"]["APm"] == pytest.approx(100) and math.isnan(figures["bbox"]["APs"])


@pytest.mark.parametrize("size", [(72.0, 100.0), ("72", "100"), (" 72 ", "100.0"), (None, 100)])
def test_sizes(world, size):
    content = make_content()
    content["images"][0] |= {"height": size[0], "width": size[1]}
    world.write(content)
    trained, figures = check_agreement(world)
    assert len(trained) == 2 and figures["segm"]["AP"] == pytest.approx(100)
    (record,) = DatasetCatalog.get(NAME)
    assert (record["height"], record["width"]) == (HEIGHT, WIDTH)
    assert type(record["height"]) is int


def test_sizes_that_are_nowhere(world, tmp_path):
    content = changed("height", MISSING, "images")
    content["images"][0]["file_name"] = "gone.png"
    world.write(content)
    assert "gt.json: image 1 has no 'height'" in world.train()
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"image 1 has no 'height'.*folder .* not known"):
        COCOEvaluator(dataset_name="of no registered set", json_file=str(path))


@pytest.mark.parametrize("key", ["image_id", "category_id"])
@pytest.mark.parametrize("make_id", [lambda i: f"c{i}", str, lambda i: 10**30 + i, lambda i: -i])
def test_ids_of_any_kind(world, key, make_id):
    content, results = make_content(), make_results()
    for entry in [*content["annotations"], *results]:
        entry[key] = make_id(entry[key])
    for entry in content["images" if key == "image_id" else "categories"]:
        entry["id"] = make_id(entry["id"])
    world.write(content, results)
    trained, figures = check_agreement(world)
    assert len(trained) == 2 and figures["segm"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize("key", ["image_id", "category_id"])
@pytest.mark.parametrize("as_text", [False, True])
def test_references_of_another_type(world, caplog, key, as_text):
    """ "1" against 1, in the file and in the results."""
    content, results = make_content(), make_results()
    for entry in [*content["annotations"], *results]:
        entry[key] = str(entry[key]) if as_text else float(entry[key])
    world.write(content, results)
    trained, figures = check_agreement(world)
    assert len(trained) == 2 and figures["bbox"]["AP"] == pytest.approx(100)
    assert (f"{key} is the text '1' instead of a number" in caplog.text) == as_text
    assert (("warning", "value-type") in world.examine()) == as_text


@pytest.mark.parametrize(
    "name, file",
    [
        ("sub\\b.png", "sub/b.png"),
        ("c%20d.png", "c d.png"),
        ("/not/here/sub/b.png", "sub/b.png"),
        ("C:\\images\\sub\\b.png", "sub/b.png"),
        ("C:/images/c%20d.png", "c d.png"),
    ],
)
def test_names_of_other_systems(world, caplog, name, file):
    world.write(changed("file_name", name, "images"))
    trained, _ = check_agreement(world)
    (record,) = DatasetCatalog.get(NAME)
    assert len(trained) == 2 and record["file_name"] == str(world.folder / "images" / file)
    assert repr(name) in caplog.text and file in caplog.text
    assert ("warning", "file-name-odd") in world.examine()
    world.fix()
    (record,) = DatasetCatalog.get(NAME)
    assert record["file_name"] == str(world.folder / "images" / file)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(world, encoding):
    world.write(make_content())
    for path in (world.json_file, world.results_file):
        path.write_text(path.read_text(), encoding=encoding)
    trained, figures = check_agreement(world)
    assert len(trained) == 2 and figures["segm"]["AP"] == pytest.approx(100)


def test_categories_of_one_name_stay_apart(world, caplog):
    content = make_content()
    for category in content["categories"]:
        category["name"] = "boat"
    first, second = (c["id"] for c in content["categories"])
    world.write(content)
    _, figures = check_agreement(world)
    assert {f"AP-boat ({first})", f"AP-boat ({second})"} <= figures["bbox"].keys()
    assert "2 categories are called 'boat'" in caplog.text


def test_swapped_height_and_width(world):
    content = make_content()
    content["images"][0] |= {"height": WIDTH, "width": HEIGHT}
    world.write(content)
    message = world.train()
    assert "height and width are swapped" in message and "EXIF" not in message
    assert world.examine() == {("error", "size-mismatch"), ("warning", "file-unlisted")}
    fixed = world.fix()
    assert [a["bbox"] for a in fixed] == [box_of(p) for p in POLYGONS]
    assert [a["segmentation"][0].tolist() for a in fixed] == POLYGONS
    (record,) = DatasetCatalog.get(NAME)
    assert (record["height"], record["width"]) == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"counts": "abc"}, "add up to|cut short|character|run of"),
        ({"counts": [100, 50]}, "add up to 150|not a compressed RLE"),
        ({"counts": [7300, -100]}, "run of -100|not a compressed RLE"),
        ({"counts": None}, "counts|not a compressed RLE"),
        ({"size": [WIDTH, HEIGHT]}, "100 x 72"),
        ({"size": None}, "size|not a compressed RLE"),
    ],
)
def test_run_lengths_of_results(world, change, message):
    results = make_results()
    results[1]["segmentation"] |= change
    world.write(make_content(), results)
    for engine in ENGINES:
        with pytest.raises(AssertionError, match=rf"results\.json, detection 1 .*({message})"):
            raise AssertionError(world.evaluate(engine))


VALUES = st.sampled_from([value for value in ODD.values() if value is not MISSING])
NUMBERS = st.one_of(st.integers(-20, 120), st.floats(-20, 120, width=16), st.just(50), VALUES)
BOXES = st.one_of(st.lists(NUMBERS, min_size=4, max_size=4), st.just(BOX), VALUES)
POINTS = st.lists(
    st.one_of(st.integers(-20, 120), st.sampled_from([NAN, 3e8, "7", None])), min_size=5, max_size=9
)
MASKS = st.one_of(
    st.lists(POINTS, max_size=2),
    POINTS,
    st.lists(POINTS, max_size=1).map(json.dumps),
    st.lists(st.integers(-5, 7300), max_size=4).map(
        lambda c: {"size": [HEIGHT, WIDTH], "counts": c}
    ),
    st.text("0123456789@ABCo~", max_size=9).map(lambda c: {"size": [HEIGHT, WIDTH], "counts": c}),
    st.just(rle_of(POLYGONS[0])),
    st.just([POLYGONS[1]]),
    VALUES,
)
ANNOTATIONS = st.lists(
    st.fixed_dictionaries(
        {"bbox": BOXES, "segmentation": MASKS},
        optional={
            "iscrowd": st.sampled_from([0, 1, None, "0", "1", True, 1.0, 2]),
            "ignore": st.sampled_from([0, 1, None]),
            "area": st.one_of(st.floats(1, 5000), VALUES),
            "image_id": st.sampled_from([1, "1", 1.0, 7, None]),
            "category_id": st.sampled_from([1, 2, "2", 2.0]),
        },
    ),
    max_size=5,
)


def with_ids(annotations: list[dict[str, Any]]) -> dict[str, Any]:
    content = make_content()
    defaults = {"image_id": 1, "category_id": 1}
    content["annotations"] = [
        {k: v for k, v in {"id": i, **defaults, **a}.items() if v is not MISSING}
        for i, a in enumerate(annotations, 1)
    ]
    return content


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANNOTATIONS)
def test_random_worlds_have_one_answer_or_one_error(world, annotations):
    world.write(with_ids(annotations))
    check_agreement(world)


@settings(max_examples=120)
@given(ANNOTATIONS)
def test_whole_files_are_read_as_single_annotations_are(annotations):
    """What is evidently right goes past the rule, and has to be what the rule makes of it."""
    content = with_ids(annotations)
    faults = Faults()
    cleaned = [clean_annotation(a, HEIGHT, WIDTH, faults) for a in content["annotations"]]
    try:
        instances = parse_instances(content, "gt.json", "/")
    except UserError:
        assert faults.lines(Outcome.REFUSED, 0)
        return
    table = instances.annotations
    assert table is not None
    expected = [
        (a, c)
        for a, c in zip(content["annotations"], cleaned, strict=True)
        if c is not None and a["image_id"] not in (7, None)
    ]
    assert table.ids == [a["id"] for a, _ in expected]
    for row, (_, single) in enumerate(expected):
        assert table.boxes[row].tolist() == single["bbox"]
        assert table.crowds[row] == single["iscrowd"]
        area = single.get("area", NAN)
        assert table.areas[row] == area or (math.isnan(area) and np.isnan(table.areas[row]))
        mask = table.segmentations.get(row, HEIGHT, WIDTH)
        if isinstance(mask, list):
            for polygon, one in zip(mask, single["segmentation"], strict=True):
                assert np.array_equal(polygon, one)
        elif mask is None:
            assert "segmentation" not in single
        else:
            text = single["segmentation"]["counts"]
            assert mask["counts"] == (text.decode() if isinstance(text, bytes) else text)


@settings(max_examples=60)
@given(ANNOTATIONS, st.booleans(), st.integers(20, 400))
def test_files_are_read_part_by_part_as_they_are_as_a_whole(annotations, first, block):
    content = with_ids(annotations)
    if first:
        content = {"annotations": content.pop("annotations"), **content}
    text = json.dumps(content).encode()

    def read(given):
        try:
            columns = pack_instances(parse_instances(given, "gt.json", "/"))
        except UserError as e:
            return str(e)
        return {name: column.tolist() for name, column in columns.items()}, columns.facts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "_BLOCK", block)
        if first:
            with pytest.raises(ValueError, match="before the images"):
                parse_instances(split_json(text), "gt.json", "/")
        else:
            assert repr(read(split_json(text))) == repr(read(json.loads(text)))
