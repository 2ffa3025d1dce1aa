"""A folder for the browser: its page predicts as PyTorch does, and sends nothing anywhere."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import segsuite
from segsuite.data.transforms.resample import resize_bilinear
from segsuite.errors import ConfigError, MissingPackageError, WeightsError
from segsuite.exporting.web import check_metadata, find_onnxruntime_web
from segsuite.runtime.frame import Frame
from segsuite.runtime.images import resized_size, to_planes
from segsuite.runtime.metadata import read_metadata
from segsuite.structures import ROIMasks
from tests.browsers import BROWSER, chromium
from tests.finished_runs import tiny_images, tiny_run
from tests.runtime import toys


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The npm package: where SEGSUITE_ONNXRUNTIME_WEB says, else fetched."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    given = os.environ.get("SEGSUITE_ONNXRUNTIME_WEB")
    if given:
        return Path(given)
    if shutil.which("npm") is None:
        pytest.skip("neither npm nor SEGSUITE_ONNXRUNTIME_WEB is there")
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "pack", "--silent", "onnxruntime-web"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm can't fetch onnxruntime-web: {done.stderr.strip()[-200:]}")
    (archive,) = folder.glob("*.tgz")
    wanted = ["package/package.json", "--wildcards", "package/dist/ort*wasm*"]
    subprocess.run(["tar", "xzf", archive, *wanted], cwd=folder, check=True)
    return folder / "package"


@pytest.fixture(scope="module")
def folder(package, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("web") / "page"
    segsuite.export(tiny_run(), folder, format="web", onnxruntime_web=package)
    return folder


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(folder):
    handler = functools.partial(QuietHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser(address):
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, address, folder):
    page = browser.new_page(viewport={"width": 1000, "height": 1000})
    page.folder, page.requests, page.errors = folder, [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(address)
    wait_for(page, "ready")
    yield page
    assert page.errors == []
    assert all(url.startswith((address, "blob:", "data:")) for url in page.requests)
    page.close()


def wait_for(page, state: str) -> None:
    page.locator("body[data-state=ready], body[data-state=done], body[data-state=error]").wait_for()
    assert page.locator("body").get_attribute("data-state") == state, page.inner_text("#status")


def predict(page, path: Path) -> None:
    page.evaluate("document.body.dataset.state = 'busy'")
    page.set_input_files("#file", path)
    page.locator("body[data-state=done], body[data-state=error]").wait_for()


def test_labels_are_those_of_the_predictor(page, tmp_path):
    """Of images of several sizes, which are resized as the predictor does it."""
    predictor = segsuite.Predictor(tiny_run())
    for number, path in enumerate(tiny_images()[:3]):
        image = Image.open(path).convert("RGB")
        image = image.crop((0, 0, image.width - 7 * number, image.height - 11 * number))
        image.save(file := tmp_path / f"image {number}.png")
        predict(page, file)
        labels = page.evaluate("Array.from(segsuite.shown.result.arrays.labels.values)")
        expected = predictor(file).labels
        assert np.mean(np.array(labels).reshape(expected.shape) != expected) <= 1e-4
        assert f"{image.width} × {image.height} pixels" in page.inner_text("#status")
    names = segsuite.Run(tiny_run()).classes["stuff"]
    present = [names[k] for k in np.unique(expected)]
    legend = page.inner_text("#legend")
    assert all(name in legend for name in present)


@pytest.mark.parametrize(
    "size, input_size, resize", [((90, 160), [64, 64], None), ((40, 30), [64, 96], [32, 60])]
)
def test_images_lie_in_a_fixed_size_as_in_the_runtime(page, size, input_size, resize):
    """Made smaller, in the top left corner, with the mean around."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    metadata = dataclasses.replace(
        read_metadata(page.folder),
        dynamic={"batch": True, "size": False},
        input_size=input_size,
        resize=resize and {"min_size": resize[0], "max_size": resize[1]},
    )
    resized = resize_bilinear(image, resized_size(size, metadata))
    frame = Frame(to_planes(resized, metadata), size, metadata)
    pixels, output = page.evaluate(
        """([rgba, size, metadata]) => import('./frame.js').then(({Frame}) => {
          const frame = new Frame(...size, metadata);
          return [Array.from(frame.images(Uint8ClampedArray.from(rgba)).pixels), frame.output];
        })""",
        [
            np.concatenate([image, image[..., :1]], axis=2).ravel().tolist(),
            list(size),
            json.loads(metadata.to_json()),
        ],
    )
    np.testing.assert_array_equal(pixels, frame.inputs()["images"].ravel())
    assert tuple(output) == frame.output_size


def test_it_can_be_used(page, tmp_path):
    """Sliders, the word under the pointer, downloads, and a file that is no image."""
    predict(page, tiny_images()[0])
    drawn = "segsuite.shown && document.getElementById('canvas').toDataURL()"
    before = page.evaluate(drawn)
    page.locator("#opacity").fill("0")
    plain = page.evaluate(drawn)
    assert plain != before
    page.locator("#canvas").hover(position={"x": 100, "y": 100})
    assert "%" in page.inner_text("#tip")
    with page.expect_download() as download:
        page.click("#save-labels")
    labels = np.array(Image.open(download.value.path()).convert("L"))
    np.testing.assert_array_equal(labels, segsuite.Predictor(tiny_run())(tiny_images()[0]).labels)

    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    predict(page, broken)
    assert "broken.png is no image" in page.inner_text("#status")
    predict(page, tiny_images()[1])
    wait_for(page, "done")


def test_the_page_can_reach_nothing_else(page):
    """Were there code that wanted to send an image somewhere, the browser would not let it."""
    reached = page.evaluate(
        "fetch('http://127.0.0.1:9/', {mode: 'no-cors'}).then(() => 'yes', () => 'no')"
    )
    policy = page.evaluate("document.querySelector('meta[http-equiv]').content")
    assert reached == "no"
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy


@pytest.mark.parametrize("size, new_size", [((37, 53), (64, 96)), ((90, 41), (31, 17))])
def test_resizing_is_that_of_the_data(page, size, new_size):
    plane = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    resized = page.evaluate(
        "([plane, height, width, size]) => import('./resize.js').then("
        "({resizePlane}) => Array.from(resizePlane(Uint8Array.from(plane), height, width, size)))",
        [plane.ravel().tolist(), *size, list(new_size)],
    )
    expected = resize_bilinear(np.stack([plane] * 3, axis=2), new_size)[..., 0]
    np.testing.assert_array_equal(np.array(resized).reshape(new_size), expected)


def test_masks_of_instances_are_pasted_as_elsewhere(page):
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(2, 28, 28, generator=generator)
    boxes = torch.tensor([[5.3, 7.1, 44.7, 30.2], [-3.0, 20.0, 12.5, 70.0]])
    height, width = 48, 60
    arrays = {
        "count": {"values": [2]},
        "scores": {"values": [0.9, 0.6, 0.0]},
        "classes": {"values": [1, 0, 0]},
        "boxes": {"values": [*boxes.flatten().tolist(), 0, 0, 0, 0]},
        "masks": {"values": masks.flatten().tolist(), "dims": [1, 2, 28, 28]},
    }
    layer = page.evaluate(
        """([arrays, height, width]) => import('./layers.js').then(({toLayer}) => {
          arrays.masks.values = Float32Array.from(arrays.masks.values);
          const metadata = {task: 'instances', classes: ['cat', 'dog']};
          const layer = toLayer({arrays, height, width, size: [height, width]}, metadata, 0.5);
          return {ids: Array.from(layer.ids), items: layer.items};
        })""",
        [arrays, height, width],
    )
    inside = boxes.clamp(min=0).minimum(torch.tensor([width, height] * 2))
    pasted = ROIMasks(masks, inside, (height, width)).tensor.numpy()
    expected = np.where(pasted[0], 0, np.where(pasted[1], 1, -1))
    assert np.mean(np.array(layer["ids"]).reshape(height, width) != expected) <= 1e-3
    assert [item["name"] for item in layer["items"]] == ["dog", "cat"]


class TestFindOnnxruntimeWeb:
    def make(self, folder: Path, version: str = "1.30.0", files: bool = True) -> Path:
        (folder / "dist").mkdir(parents=True)
        content = {"name": "onnxruntime-web", "version": version}
        (folder / "package.json").write_text(json.dumps(content))
        for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs"):
            (folder / "dist" / name).write_text("")
        if files:
            (folder / "dist" / "ort-wasm-simd-threaded.wasm").write_text("")
        return folder

    def test_of_the_folder_and_above(self, tmp_path, monkeypatch):
        package = self.make(tmp_path / "node_modules" / "onnxruntime-web")
        (tmp_path / "deep" / "er").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "deep" / "er")
        assert find_onnxruntime_web() == package
        assert find_onnxruntime_web(tmp_path) == find_onnxruntime_web(package) == package

    def test_missing(self, tmp_path):
        with pytest.raises(MissingPackageError, match="npm install onnxruntime-web"):
            find_onnxruntime_web(tmp_path)

    @pytest.mark.parametrize(
        "options, problem",
        [({"version": "1.9.0"}, "is too old"), ({"files": False}, "has no dist/ort-wasm-simd")],
    )
    def test_unusable(self, tmp_path, options, problem):
        with pytest.raises(WeightsError, match=problem):
            find_onnxruntime_web(self.make(tmp_path / "ort", **options))


def test_what_a_page_cannot_show_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="bare"):
        segsuite.export(tiny_run(), tmp_path / "page", format="web", bare=True)
    with pytest.raises(ConfigError, match="onnxruntime_web"):
        segsuite.export(tiny_run(), tmp_path / "m.onnx", onnxruntime_web=tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="VALUE_RANGE"):
        check_metadata(toys.metadata(value_range=[0, 4095]))
