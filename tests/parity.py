"""Reference values of other implementations, for weights that are made from parameter names.

`SHARED/parity/README.md` describes the format. A test asks for a case by name and is skipped,
visibly, where the folder is missing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image, ImageOps

from tests.helpers import SHARED

ROOT = SHARED / "parity"


@lru_cache
def _fill() -> ModuleType:
    spec = importlib.util.spec_from_file_location("segsuite_parity_fill", ROOT / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.self_check()
    return module


@lru_cache
def _manifest() -> dict[str, Any]:
    return json.loads((ROOT / "manifest.json").read_text())["cases"]


def _resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR)


@dataclass
class ParityCase:
    """One model of a peer: its weights, an input and the outputs it gave."""

    name: str
    about: dict[str, Any]
    arrays: Any

    @classmethod
    def load(cls, name: str) -> ParityCase:
        return cls(name, _manifest()[name], np.load(ROOT / f"{name}.npz"))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The peer's checkpoint, under the peer's keys."""
        fill, about = _fill(), self.about
        state = fill.empty_state_dict(ROOT / f"{self.name}.keys.txt")
        state = fill.fill_state_dict(state, about["scale"], about["salt"], about["values"])
        assert fill.state_crc32(state) == about["state_crc32"], self.name
        return state

    def image(self, index: int = 0) -> torch.Tensor:
        """The resized input image: (3, H, W) uint8, channels in the order the peer takes."""
        about = self.about["inputs"][index]
        height, width = about["resized_to"]
        with Image.open(SHARED / about["image"]) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
        order = "bgr" if "uint8_hwc_bgr_sha256" in about else "rgb"
        # Pillow rounds to 8 bits after each of its two passes. Version 13 makes the vertical one
        # first for some sizes, older ones never do.
        for first in ((width, image.height), (image.width, height)):
            pixels = np.asarray(_resize(_resize(image, first), (width, height)))
            pixels = pixels[:, :, ::-1].copy() if order == "bgr" else pixels.copy()
            digest = hashlib.sha256(pixels.tobytes()).hexdigest()
            if digest == about[f"uint8_hwc_{order}_sha256"]:
                return torch.from_numpy(pixels).permute(2, 0, 1)
        raise AssertionError(f"{self.name}: another input, read by Pillow {PIL.__version__}")

    def check(self, name: str, value: torch.Tensor) -> None:
        """Assert that `value` is array `name` within the case's tolerance for dense arrays."""
        about, tolerance = self.about["arrays"][name], self.about["tolerance"]["dense"]
        got = value.detach().numpy()
        assert list(got.shape) == about["shape"], (self.name, name, got.shape)
        if about["kind"] == "sampled":
            got = got[tuple(slice(None, None, step) for step in about["strides"])]
            want = self.arrays[name + ".sub"]
        else:
            want = self.arrays[name]
        error = np.abs(got - want).max() / max(np.abs(want).max(), 1e-12)
        assert error <= tolerance, f"{self.name} {name}: {error:.2e} > {tolerance:.0e}"
