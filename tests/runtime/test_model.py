"""`ExportedModel` on each runtime: what it makes of images of any size, and its errors."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from segsuite.errors import ConfigError, DataError, MissingPackageError, WeightsError
from segsuite.runtime import ExportedModel
from segsuite.runtime.logits import labels_of_logits
from segsuite.runtime.metadata import attach_to_onnx
from segsuite.structures import SemSegLogits

from . import toys


@pytest.fixture
def image():
    """Dark on the left, bright on the right."""
    pixels = np.full((30, 50, 3), 20, np.uint8)
    pixels[:, 25:] = 230
    return pixels


class SemanticContract:
    """What each way to run a semantic model makes of an image. A subclass says how to `write` the
    file."""

    def write(self, folder: Path) -> Path:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory):
        return ExportedModel(cls().write(tmp_path_factory.mktemp("model")), threads=1)

    def test_labels_have_the_size_of_the_image(self, model, image):
        result = model(image)
        assert result.labels.shape == result.confidence.shape == result.size == (30, 50)
        assert result.labels.dtype == np.uint8 and result.confidence.dtype == np.float32
        assert (result.labels[:, :22] == 0).all() and (result.labels[:, 28:] == 1).all()
        assert result.label_names == ["dark", "bright"]

    def test_any_size_after_another(self, model, image):
        for size in ((3, 5), (90, 31), (30, 50)):
            resized = np.asarray(Image.fromarray(image).resize(size[::-1]))
            assert model(resized).labels.shape == size

    def test_results_stay_when_another_image_comes(self, model, image):
        first = model(image)
        kept = first.labels.copy(), first.confidence.copy()
        model(image[:, ::-1].copy())
        assert np.array_equal(first.labels, kept[0]) and np.array_equal(first.confidence, kept[1])

    def test_pictures(self, model, image, tmp_path):
        files = model(image).save(tmp_path / "out", "a")
        assert [f.relative_to(tmp_path / "out").as_posix() for f in files] == [
            "a.jpg",
            "labels/a.png",
        ]
        labels = Image.open(files[1])
        assert labels.size == (50, 30) and labels.mode == "P"
        assert labels.convert("RGB").getpixel((49, 0)) == (200, 100, 50)


class TestONNX(SemanticContract):
    def write(self, folder):
        return toys.write_onnx(folder / "m.onnx")


class TestOpenVINO(SemanticContract):
    def write(self, folder):
        return toys.write_openvino(folder / "m")


class TestFixedSize(SemanticContract):
    def write(self, folder):
        return toys.write_onnx(folder / "m.onnx", toys.FIXED, **toys.FIXED_SIZE)


class TestBare(SemanticContract):
    def write(self, folder):
        facts = {"bare": True, "inputs": ["images"], "outputs": ["logits"], "size_divisibility": 8}
        return toys.write_onnx(folder / "m.onnx", toys.BARE, **facts)


def test_instances(tmp_path, image):
    model = ExportedModel(
        toys.write_onnx(tmp_path / "m.onnx", toys.INSTANCES, **toys.INSTANCE_FACTS)
    )
    result = model(image)  # 16 x 27 pixels in the graph
    scale = np.array([50 / 27, 30 / 16] * 2)
    np.testing.assert_allclose(result.boxes, [np.array([2, 3, 12, 9]) * scale], rtol=1e-6)
    assert result.scores.tolist() == [np.float32(0.9)] and result.classes.tolist() == [1]
    assert result.thing_names[1] == "bright"
    (mask,) = result.masks
    assert mask.shape == (30, 50) and mask[8, 10] and not mask[15, 5] and not mask[20:].any()
    assert result.draw().shape == image.shape


def test_logits_are_decided_as_by_pytorch():
    logits = torch.randn(5, 16, 24, generator=torch.Generator().manual_seed(0))
    expected = SemSegLogits(logits, (13, 21), (90, 70))
    labels, confidence = labels_of_logits(logits.numpy(), (13, 21), (90, 70), toys.metadata())
    assert np.array_equal(labels, expected.labels().numpy())
    np.testing.assert_allclose(confidence, expected.confidence().numpy(), atol=1e-5)
    one = SemSegLogits(logits[:1], (13, 21), (90, 70), threshold=0.3)
    described = toys.metadata(classes=["a"], colors=[], threshold=0.3)
    labels, confidence = labels_of_logits(logits[:1].numpy(), (13, 21), (90, 70), described)
    assert np.array_equal(labels, one.labels().numpy())
    np.testing.assert_allclose(confidence, one.confidence().numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def openvino_model(tmp_path_factory):
    return toys.write_openvino(tmp_path_factory.mktemp("openvino") / "m")


class TestErrors:
    def test_wrong_number_of_bands(self, tmp_path):
        model = ExportedModel(toys.write_onnx(tmp_path / "m.onnx"))
        with pytest.raises(DataError, match="4 channels, but the model takes 3"):
            model(np.zeros((5, 5, 4), np.uint8))

    @pytest.mark.parametrize("kind", ["onnx", "openvino"])
    def test_missing_packages_are_named(self, tmp_path, openvino_model, monkeypatch, kind):
        path = openvino_model if kind == "openvino" else toys.write_onnx(tmp_path / "m.onnx")
        package, extra = {"onnx": ("onnxruntime", "export")}.get(kind, (kind, kind))
        import_ = builtins.__import__

        def without(name, *others, **options):
            if name.partition(".")[0] == package:
                raise ImportError(name)
            return import_(name, *others, **options)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(MissingPackageError, match=rf"pip install {package}.*\[{extra}\]"):
            ExportedModel(path)

    def test_devices_that_are_not_here(self, tmp_path, openvino_model):
        path = toys.write_onnx(tmp_path / "m.onnx")
        with pytest.raises(ConfigError, match=r"no execution provider 'abc'.*CPUExecutionProvider"):
            ExportedModel(path, device="abc")
        with pytest.raises(ConfigError, match=r"no device 'abc'.*CPU"):
            ExportedModel(openvino_model, device="abc")

    def test_pt2_needs_pytorch(self, tmp_path):
        import zipfile

        with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
            archive.writestr("m/extra/segsuite.json", toys.metadata().to_json())
        with pytest.raises(MissingPackageError, match=r"runs by PyTorch.*segsuite\.Predictor"):
            ExportedModel(tmp_path / "m.pt2")

    def test_a_graph_that_is_another(self, tmp_path):
        path = toys.write_onnx(tmp_path / "m.onnx", outputs=["labels"])
        with pytest.raises(WeightsError, match="changed since it was exported"):
            ExportedModel(path)

    def test_operators_of_others_are_not_loaded(self, tmp_path):
        node = onnx.helper.make_node("Magic", ["images"], ["labels"], domain="com.example")
        values = [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, [1, 3, 4, 4])
            for name in ("images", "labels")
        ]
        graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
        opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("com.example", 1)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), tmp_path / "m.onnx")
        facts = {"inputs": ["images"], "outputs": ["labels"]}
        attach_to_onnx(tmp_path / "m.onnx", toys.metadata(**facts))
        with pytest.raises(WeightsError, match=r"does not take.*Magic"):
            ExportedModel(tmp_path / "m.onnx")

    @pytest.mark.parametrize("location", ["../secret", "{folder}/secret", "link"])
    def test_weights_elsewhere_are_not_read(self, tmp_path, location):
        """An ONNX file may keep its weights in others, but none outside of its folder."""
        (tmp_path / "secret").write_bytes(bytes(range(16)))
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "link").symlink_to(tmp_path / "secret")
        path = external(folder / "m.onnx", location.format(folder=tmp_path))
        with pytest.raises(WeightsError, match=r"does not take|outside"):
            ExportedModel(path)

    def test_weights_beside_it_are_read_and_checked(self, tmp_path):
        from segsuite.runtime.metadata import file_sha256

        (tmp_path / "weights").write_bytes(bytes(16))
        checksum = {"weights": file_sha256(tmp_path / "weights")}
        path = external(tmp_path / "m.onnx", "weights", files=checksum)
        ExportedModel(path)
        (tmp_path / "weights").write_bytes(bytes(range(16)))
        with pytest.raises(WeightsError, match="checksum"):
            ExportedModel(path)


def external(path: Path, location: str, **facts) -> Path:
    """A model that adds four numbers, which another file has."""
    model = onnx.parser.parse_model(
        toys.HEADER + "g (float[4] images) => (float[4] logits) { logits = Add(images, w) }"
    )
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="16")
    model.graph.initializer.append(tensor)
    path.write_bytes(model.SerializeToString())
    facts = {"bare": True, "inputs": ["images"], "outputs": ["logits"], **facts}
    attach_to_onnx(path, toys.metadata(**facts))
    return path
