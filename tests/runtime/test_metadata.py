"""What exported files say about themselves survives each format, and damage is told."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from segsuite.errors import MissingFileError, UnknownNameError, WeightsError
from segsuite.runtime import ExportMetadata
from segsuite.runtime.metadata import (
    PT2_EXTRA_FILE,
    attach_to_onnx,
    attach_to_openvino,
    is_exported,
    metadata_of_onnx,
    metadata_of_openvino,
    metadata_of_pt2,
    model_file,
    read_metadata,
)


def metadata(**others):
    facts = {
        "task": "semantic",
        "segsuite_version": "0.1.0",
        "meta_architecture": "SemanticSegmentor",
        "classes": ["Straße", 'a "<&>'],
        "colors": [[0, 1, 2], [3, 4, 255]],
        "pixel_format": "RGB",
        "in_channels": 3,
        "mean": [1, 2.5, 3.0],
        "std": [1.0, 1.0, 1.0],
        "resize": {"min_size": 64, "max_size": 128},
        "dynamic": {"batch": True, "size": True},
        "input_size": [64, 96],
        "inputs": ["images", "size"],
        "outputs": ["labels", "confidence"],
        "figures": {"sem_seg": {"mIoU": 59.4}},
    }
    return ExportMetadata(**{**facts, **others})


def identity_onnx(path):
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", *zip(values))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def write_openvino(folder, content=b"weights"):
    folder.mkdir(exist_ok=True)
    path = folder / "model.xml"
    path.write_text('<?xml version="1.0"?><net name="m" version="11"><layers/></net>')
    path.with_suffix(".bin").write_bytes(content)
    return path


def test_json_keeps_everything():
    kept = metadata(bands=[3, 1, 0], value_range=[["2%", "98%"]], class_ids=[7, "x"])
    assert ExportMetadata.from_json(kept.to_json(), "f") == kept


def test_fields_of_later_versions_are_passed_over():
    content = {**json.loads(metadata().to_json()), "later": 1}
    assert ExportMetadata.from_json(json.dumps(content), "f") == metadata()


def test_onnx(tmp_path):
    path = identity_onnx(tmp_path / "m.onnx")
    attach_to_onnx(path, metadata())
    onnx.checker.check_model(onnx.load(path))
    read = metadata_of_onnx(path)
    assert dataclasses.replace(read, content_sha256="") == metadata()


def test_changed_onnx_is_refused(tmp_path):
    path = identity_onnx(tmp_path / "m.onnx")
    attach_to_onnx(path, metadata())
    path.write_bytes(path.read_bytes().replace(b"\x01x", b"\x01z", 1))
    with pytest.raises(WeightsError, match=r"damaged.*checksum"):
        metadata_of_onnx(path)


def test_onnx_that_was_saved_anew_is_taken(tmp_path):
    path = identity_onnx(tmp_path / "m.onnx")
    attach_to_onnx(path, metadata())
    model = onnx.load(path)
    model.metadata_props.add(key="note", value="simplified")
    onnx.save(model, path)
    assert metadata_of_onnx(path).classes == metadata().classes


@pytest.mark.parametrize(
    "damage, message",
    [(lambda f: f.unlink(), "needs the file"), (lambda f: f.write_bytes(b"x"), "checksum")],
)
def test_files_beside_it_are_checked(tmp_path, damage, message):
    path = write_openvino(tmp_path)
    attach_to_openvino(path, metadata())
    damage(path.with_suffix(".bin"))
    with pytest.raises(WeightsError, match=message):
        metadata_of_openvino(path)


def test_files_elsewhere_are_not_looked_at(tmp_path):
    (tmp_path / "secret").write_text("")
    path = identity_onnx(write_openvino(tmp_path / "in").with_name("m.onnx"))
    attach_to_onnx(path, metadata(files={"../secret": "0" * 64}))
    with pytest.raises(WeightsError, match="needs the file"):
        metadata_of_onnx(path)


def test_openvino(tmp_path):
    path = write_openvino(tmp_path)
    attach_to_openvino(path, metadata())
    attach_to_openvino(path, metadata(recipe="again"))
    read = metadata_of_openvino(path)
    assert dataclasses.replace(read, files={}) == metadata(recipe="again")


def test_pt2(tmp_path):
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"m/extra/{PT2_EXTRA_FILE}", metadata().to_json())
        archive.writestr("m/data/weights/weight_0", b"0123456789")
    assert metadata_of_pt2(path) == metadata()
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"0123456780"))
    with pytest.raises(WeightsError, match="weight_0"):
        metadata_of_pt2(path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_pt2_that_is_none(tmp_path, content):
    path = tmp_path / "m.pt2"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged"):
        metadata_of_pt2(path)


@pytest.mark.parametrize(
    "content", [b"", b"no model", b"\x00" * 9, b"<html>", b"\x3a\xff\xff\x03cut"]
)
def test_onnx_that_is_none(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged|is empty"):
        read_metadata(path)


def test_onnx_that_is_cut_short(tmp_path):
    path = identity_onnx(tmp_path / "m.onnx")
    attach_to_onnx(path, metadata())
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            read_metadata(path)


def test_what_a_path_stands_for(tmp_path):
    xml = write_openvino(tmp_path / "folder")
    assert model_file(tmp_path / "folder") == model_file(xml) == xml
    assert model_file("a/b.onnx") == Path("a/b.onnx")
    assert model_file(tmp_path) is model_file("output/run") is model_file(3) is None
    xml.with_name("other.xml").write_text("")
    xml.with_name("other.bin").write_text("")
    assert is_exported(tmp_path / "folder") and not is_exported(tmp_path)
    with pytest.raises(WeightsError, match=r"model\.xml, other\.xml"):
        model_file(tmp_path / "folder")


def test_paths_without_a_model(tmp_path):
    with pytest.raises(MissingFileError, match=r"no exported model 'no\.onnx'"):
        read_metadata("no.onnx")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UnknownNameError, match=r"\.onnx, \.xml, \.pt2"):
        read_metadata(tmp_path / "a.txt")


def test_files_of_others_say_how_to_export(tmp_path):
    onnx_path = identity_onnx(tmp_path / "m.onnx")
    pt2 = tmp_path / "m.pt2"
    with zipfile.ZipFile(pt2, "w") as archive:
        archive.writestr("m/model.json", "{}")
    for read in (
        lambda: metadata_of_onnx(onnx_path),
        lambda: metadata_of_openvino(write_openvino(tmp_path)),
        lambda: metadata_of_pt2(pt2),
    ):
        with pytest.raises(WeightsError, match=r"not exported by segsuite.*segsuite export"):
            read()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format_version": 2, "segsuite_version": "9.0"}, "by segsuite 9.0.*update segsuite"),
        ({"format_version": 0}, "export the model again"),
        ({"format_version": "1"}, "format_version is '1'"),
        ({"task": "keypoints"}, "expected one of semantic"),
        ({"in_channels": 4}, "3 means for in_channels 4"),
        ({"mean": [1, "x", 2]}, "mean is"),
        ({"classes": "abc"}, "classes is 'abc'"),
        ({"classes": []}, "0 classes|no classes"),
        ({"colors": [[0, 0, 0], [0, 0, 256]]}, "colour"),
        ({"colors": [[0, 0, 0]]}, "1 colors for 2 classes"),
        ({"resize": {"min_size": 3}}, "min_size and max_size"),
        ({"dynamic": {}}, "batch and size"),
        ({"input_size": [0, 4]}, "input_size"),
        ({"task": "panoptic"}, "no thing_classes"),
        ({"bare": 1}, "bare is 1"),
    ],
)
def test_what_can_not_be_is_refused(changes, message):
    content = {**json.loads(metadata().to_json()), **changes}
    with pytest.raises(WeightsError, match=rf"^m\.onnx.*({message})"):
        ExportMetadata.from_json(json.dumps(content), "m.onnx")


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_damaged_text(text):
    with pytest.raises(WeightsError, match="damaged metadata"):
        ExportMetadata.from_json(text, "m.onnx")
    content = json.loads(metadata().to_json())
    del content["mean"]
    with pytest.raises(WeightsError, match="no 'mean'"):
        ExportMetadata.from_json(json.dumps(content), "m.onnx")
