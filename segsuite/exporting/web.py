"""A page for browsers: drop an image, see what the model says of it, all in the browser.

The folder has the page (``page/`` of this package), the ONNX file, its metadata and ONNX Runtime
Web, which computes in the browser. Any web server can give it out as it is.
"""

from __future__ import annotations

import json
import os
import shutil
from importlib import resources
from pathlib import Path

from segsuite.errors import ConfigError, MissingPackageError, WeightsError
from segsuite.runtime import ExportMetadata
from segsuite.runtime.metadata import PAGE_MODEL

# What the page needs of the npm package: the part that computes on the CPU, in WebAssembly.
_PACKAGE = "onnxruntime-web"
_RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
_OLDEST_RUNTIME = (1, 19)  # the first with modules of these names
_PAGE_FORMATS = ("RGB", "BGR", "L")


def check_metadata(metadata: ExportMetadata) -> None:
    """Refuse models that the page can't show.

    Raises:
        ConfigError: the model takes other bands than those of a picture, or images of more bits.
    """
    if metadata.value_range:
        raise ConfigError(
            "a page reads images as browsers decode them, to 8 bits, and INPUT.VALUE_RANGE "
            f"{metadata.value_range} says which values of more bits the model takes: export it as "
            "onnx"
        )
    if metadata.pixel_format not in _PAGE_FORMATS:
        raise ConfigError(
            f"a page shows pictures, and the model takes images of {metadata.in_channels} bands "
            "(INPUT.BANDS, PIXEL_MEAN): export it as onnx"
        )


def find_onnxruntime_web(folder: str | os.PathLike[str] | None = None) -> Path:
    """The npm package onnxruntime-web: in `folder`, else in the ``node_modules`` of the current
    folder or of one above it.

    Args:
        folder: of the package, or one with a ``node_modules``.

    Raises:
        MissingPackageError: it is not there.
        WeightsError: it is not whole, or too old.
    """
    starts = [Path.cwd(), *Path.cwd().parents] if folder is None else [Path(folder)]
    for start in starts:
        for candidate in (start, start / "node_modules" / _PACKAGE):
            if _is_package(candidate):
                return _checked(candidate)
    where = f"'{folder}'" if folder is not None else "the current folder"
    raise MissingPackageError(
        f"a page computes with {_PACKAGE}, which is not in {where}: run `npm install {_PACKAGE}` "
        "there, or say where it is (--onnxruntime-web FOLDER)"
    )


def _is_package(folder: Path) -> bool:
    try:
        content = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("name") == _PACKAGE


def _checked(package: Path) -> Path:
    version = str(json.loads((package / "package.json").read_text(encoding="utf-8"))["version"])
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    missing = [name for name in _RUNTIME_FILES if not (package / "dist" / name).is_file()]
    if missing or numbers < _OLDEST_RUNTIME:
        problem = f"has no dist/{missing[0]}" if missing else "is too old"
        oldest = ".".join(map(str, _OLDEST_RUNTIME))
        raise WeightsError(
            f"{_PACKAGE} {version} in '{package}' {problem}; the page takes {oldest} or newer: "
            f"npm install {_PACKAGE}@latest"
        )
    return package


def write_page(onnx_file: Path, folder: Path, metadata: ExportMetadata, package: Path) -> None:
    """Write a page that runs an exported model.

    Args:
        onnx_file: the model, which is moved there.
        folder: that is made.
        metadata: of the model.
        package: see `find_onnxruntime_web`.
    """
    folder.mkdir()
    for asset in (resources.files(__package__) / "page").iterdir():
        (folder / asset.name).write_bytes(asset.read_bytes())
    shutil.move(onnx_file, folder / PAGE_MODEL)
    (folder / "metadata.json").write_text(metadata.to_json(), encoding="utf-8")
    (folder / "onnxruntime").mkdir()
    for name in _RUNTIME_FILES:
        shutil.copyfile(package / "dist" / name, folder / "onnxruntime" / name)
    version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    (folder / "onnxruntime" / "README.txt").write_text(
        f"From the npm package {_PACKAGE} {version} (MIT licence, Microsoft Corporation).\n",
        encoding="utf-8",
    )
