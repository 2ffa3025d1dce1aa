"""Exported files run where PyTorch, OpenCV and the rest of segsuite's dependencies are missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv

import numpy as np
import pytest
from PIL import Image

from tests.helpers import REPO

from . import toys

# Whatever is imported beside these ends the program.
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package in {"torch", "torchvision", "cv2", "pycocotools", "fvcore", "yaml", "onnx"}:
            raise ImportError(f"{name} is blocked")
        return None

sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture
def folder(tmp_path):
    """A model and a picture, as the example has them."""
    toys.write_onnx(tmp_path / "model.onnx")
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:] = 255
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    return tmp_path


def example() -> str:
    """The program in docs/export.md."""
    text = (REPO / "docs" / "export.md").read_text()
    (block,) = re.findall(r"```python without_pytorch.py\n(.*?)```", text, re.DOTALL)
    assert len(block.splitlines()) <= 20
    return block


def run(python, program, folder, **environment):
    return subprocess.run(
        [python, "-c", program],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def check(done, folder):
    assert done.returncode == 0, done.stderr
    assert "bright 50.0 %" in done.stdout
    assert (folder / "predictions" / "photo.jpg").exists()
    labels = np.asarray(Image.open(folder / "predictions" / "labels" / "photo.png"))
    assert (labels[:, :25] == 0).all() and (labels[:, 35:] == 1).all()


def test_example_with_all_else_blocked(folder):
    program = BLOCKER + example() + "\nassert 'torch' not in sys.modules\n"
    check(run(sys.executable, program, folder, PYTHONPATH=str(REPO)), folder)


@pytest.mark.slow
def test_example_in_a_fresh_environment(folder):
    """numpy, Pillow and onnxruntime from the package index, and segsuite without dependencies."""
    place = folder / "venv"
    venv.create(place, with_pip=True)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    needed = subprocess.run([*install, "numpy", "pillow", "onnxruntime"], capture_output=True)
    if needed.returncode:
        pytest.skip("the package index can't be reached")
    source = folder / "source"
    subprocess.run(["git", "clone", "--quiet", REPO, source], check=True)
    environment = {"SEGSUITE_EXT": "0"}
    subprocess.run([*install, "--no-deps", source], check=True, env={**os.environ, **environment})
    without_path = {"PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}
    check(run(python, example(), folder, **without_path), folder)
    assert run(python, "import torch", folder, **without_path).returncode
