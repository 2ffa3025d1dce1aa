"""What an exported file says about itself, and where each format keeps it.

It is one text of JSON: in ONNX the entry ``segsuite`` of ``metadata_props``, in OpenVINO's ``.xml``
``rt_info/segsuite``, in a ``.pt2`` the extra file ``segsuite.json``. Each is written after the
model is, so that it can hold the checksums of what it describes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard
from xml.etree import ElementTree

from segsuite.errors import MissingFileError, UnknownNameError, WeightsError

from .metadata_checks import problem_of
from .protobuf import field_bytes, read_field, read_strings

FORMAT_VERSION = 1
KEY = "segsuite"
PT2_EXTRA_FILE = "segsuite.json"
SUFFIXES = (".onnx", ".xml", ".pt2")
PAGE_MODEL = "model.onnx"  # in the folder of a page for browsers
_METADATA_PROPS = 14  # the field's number in ONNX's ModelProto
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ExportMetadata:
    """What is known of an exported model.

    Attributes:
        task: "semantic", "instances" or "panoptic".
        segsuite_version: that exported it.
        meta_architecture: MODEL.META_ARCHITECTURE.
        recipe: the name of the recipe or run that it comes from, "" where there is none.
        classes: names of the classes of a semantic model or of instances; one name for a semantic
            model with a sigmoid, whose labels are 0 and 1. Empty for "panoptic".
        colors: their colours, RGB 0-255.
        class_ids: the ids that the data set gives to `classes`, empty: 0, 1, ...
        thing_classes, thing_colors, thing_ids: of a panoptic model, the classes of its instances.
        stuff_classes, stuff_colors, stuff_ids: of a panoptic model, those of its label map.
        pixel_format: what the channels of ``images`` are: "RGB", "BGR", "L" (grey), or "bands",
            those of a file in the order of `bands`.
        in_channels: the number of them.
        bands: the bands of a file that are read (INPUT.BANDS); empty: all.
        value_range: how values of more than 8 bits are read (INPUT.VALUE_RANGE).
        display_bands: the channels that pictures show (INPUT.DISPLAY_BANDS).
        mean, std: of each channel, for values of 0-255. They are applied inside of the graph unless
            it is `bare`.
        resize: how an image is resized before the graph: ``{"min_size": 640, "max_size": 2560}``,
            the short edge and the limit of the long one; None: not at all.
        size_divisibility: sides are padded to a multiple of it; inside of the graph unless `bare`.
        bare: the graph is the network alone: normalised float32 in, logits out.
        dynamic: whether the graph takes any ``batch`` and any ``size``.
        input_size: (height, width) of ``images`` in a graph of fixed size, otherwise the example's.
        batch_size: of a graph of fixed batch, otherwise the example's.
        precision: "float32", "float16" or "int8".
        threshold: of a semantic model of one class, the probability from which label 1 is given.
        whole_pixel_masks: masks are pasted into whole pixels, as torchvision does.
        ignore_value: the label that does not count in ground truth.
        weights_sha256: of the file of weights that was exported, "" where there was none.
        figures: metrics of the run, by task: ``{"sem_seg": {"mIoU": 59.4}}``.
        inputs, outputs: names in the graph.
        files: SHA-256 of other files that belong to it, by their names in the same folder.
        content_sha256: of an ONNX file without this entry.
    """

    task: str
    segsuite_version: str
    meta_architecture: str
    recipe: str = ""
    classes: list[str] = field(default_factory=list)
    colors: list[list[int]] = field(default_factory=list)
    class_ids: list[int | str] = field(default_factory=list)
    thing_classes: list[str] = field(default_factory=list)
    thing_colors: list[list[int]] = field(default_factory=list)
    thing_ids: list[int | str] = field(default_factory=list)
    stuff_classes: list[str] = field(default_factory=list)
    stuff_colors: list[list[int]] = field(default_factory=list)
    stuff_ids: list[int | str] = field(default_factory=list)
    pixel_format: str
    in_channels: int
    bands: list[int] = field(default_factory=list)
    value_range: list[Any] = field(default_factory=list)
    display_bands: list[int] = field(default_factory=list)
    mean: list[float]
    std: list[float]
    resize: dict[str, int] | None
    size_divisibility: int = 0
    bare: bool = False
    dynamic: dict[str, bool]
    input_size: list[int]
    batch_size: int = 1
    precision: str = "float32"
    threshold: float = 0.5
    whole_pixel_masks: bool = False
    ignore_value: int = 255
    weights_sha256: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    inputs: list[str]
    outputs: list[str]
    files: dict[str, str] = field(default_factory=dict)
    content_sha256: str = ""
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str, name: object) -> ExportMetadata:
        """Read the text that an exported file holds.

        Args:
            name: of the file, for messages.

        Raises:
            WeightsError: it is damaged, or of another version.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise WeightsError(_damaged(name, f"they are no JSON ({error})")) from None
        if not isinstance(content, dict):
            raise WeightsError(_damaged(name, "they are no JSON object"))
        _check_version(content, name)
        problem = problem_of(content, cls)
        if problem:
            raise WeightsError(_damaged(name, problem))
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in content.items() if key in known})


def attach_to_onnx(path: str | os.PathLike[str], metadata: ExportMetadata) -> None:
    """Add the entry to a finished ONNX file, with the checksum of what was there.

    It is appended: a protobuf message goes on as long as there are fields.
    """
    checksum = file_sha256(path)
    text = dataclasses.replace(metadata, content_sha256=checksum).to_json()
    with Path(path).open("ab") as file:
        file.write(
            field_bytes(
                _METADATA_PROPS, field_bytes(1, KEY.encode()) + field_bytes(2, text.encode())
            )
        )


def metadata_of_onnx(path: str | os.PathLike[str]) -> ExportMetadata:
    """What an ONNX file says about itself, after the checksums were compared.

    Raises:
        WeightsError: it says nothing, is damaged, or of another version.
    """
    found = _onnx_entry(path)
    if found is None:
        raise WeightsError(_not_ours(path, "metadata_props"))
    text, start, end = found
    metadata = ExportMetadata.from_json(text, path)
    # Whoever has saved the file anew, with changes of his own, has moved the entry.
    is_last = end == Path(path).stat().st_size
    if is_last and file_sha256(path, start) != metadata.content_sha256:
        raise WeightsError(_changed(path, path))
    _check_files(metadata, Path(path).parent, path)
    return metadata


def attach_to_openvino(path: str | os.PathLike[str], metadata: ExportMetadata) -> None:
    """Add the entry to the ``.xml`` of a saved OpenVINO model, with the ``.bin``'s checksum."""
    weights = Path(path).with_suffix(".bin")
    metadata = dataclasses.replace(metadata, files={weights.name: file_sha256(weights)})
    tree = ElementTree.parse(path)
    root = tree.getroot()
    info = root.find("rt_info")
    if info is None:
        info = ElementTree.SubElement(root, "rt_info")
    for old in info.findall(KEY):
        info.remove(old)
    ElementTree.SubElement(info, KEY, value=metadata.to_json())
    tree.write(path, encoding="utf-8", xml_declaration=True)


def metadata_of_openvino(path: str | os.PathLike[str]) -> ExportMetadata:
    """What the ``.xml`` of an OpenVINO model says about itself, after checksums were compared.

    Raises:
        WeightsError: see `metadata_of_onnx`.
    """
    try:
        entry = ElementTree.parse(path).getroot().find(f"rt_info/{KEY}")
    except ElementTree.ParseError as error:
        raise WeightsError(f"{path} is damaged: {error}. Export the model again") from None
    if entry is None or entry.get("value") is None:
        raise WeightsError(_not_ours(path, "rt_info"))
    metadata = ExportMetadata.from_json(entry.get("value", ""), path)
    _check_files(metadata, Path(path).parent, path)
    return metadata


def metadata_of_pt2(path: str | os.PathLike[str]) -> ExportMetadata:
    """What a ``.pt2`` says about itself, after the archive's own checksums were compared.

    Raises:
        WeightsError: see `metadata_of_onnx`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            names = [n for n in archive.namelist() if n.endswith(f"extra/{PT2_EXTRA_FILE}")]
            text = archive.read(names[0]).decode() if names else None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is damaged: {error}. Export the model again") from None
    if damaged is not None:
        raise WeightsError(_changed(path, f"{damaged} in it"))
    if text is None:
        raise WeightsError(_not_ours(path, f"extra file {PT2_EXTRA_FILE}"))
    return ExportMetadata.from_json(text, path)


def is_exported(path: object) -> TypeGuard[str | os.PathLike[str]]:
    """Whether a path is that of an exported file, or of a folder of OpenVINO's, by its name."""
    try:
        return model_file(path) is not None
    except WeightsError:
        return True


def model_file(path: object) -> Path | None:
    """The ``.onnx``, ``.xml`` or ``.pt2`` that a path stands for: itself, the ``.xml`` of a folder
    of OpenVINO's, or the ``.onnx`` of a page for browsers; None where it is none.

    Raises:
        WeightsError: a folder with several.
    """
    if not isinstance(path, (str, os.PathLike)):
        return None
    file = Path(path)
    if file.suffix in SUFFIXES and not file.is_dir():
        return file
    models = sorted(f for f in file.glob("*.xml") if f.with_suffix(".bin").is_file())
    if len(models) > 1:
        names = ", ".join(f.name for f in models)
        raise WeightsError(f"'{path}' has several models, {names}: name one of them")
    if not models and (file / "onnxruntime").is_dir():
        models = [f for f in [file / PAGE_MODEL] if f.is_file()]
    return models[0] if models else None


def read_metadata(path: str | os.PathLike[str]) -> ExportMetadata:
    """What an exported file says about itself, after the checksums were compared.

    Args:
        path: as `model_file` takes it.

    Raises:
        MissingFileError: there is no such file.
        UnknownNameError: it is of no format that segsuite exports.
        WeightsError: it was not exported by segsuite, is damaged, or of another version.
    """
    file = model_file(path)
    if file is None and Path(path).exists():
        raise UnknownNameError(
            f"'{path}' is no exported model: expected a file that ends in {', '.join(SUFFIXES)}, "
            "or the folder of an OpenVINO model"
        )
    if file is None or not file.is_file():
        raise MissingFileError(f"there is no exported model '{path}'")
    return _READERS[file.suffix](file)


def file_sha256(path: str | os.PathLike[str], size: int | None = None) -> str:
    """SHA-256 of a file, or of its first `size` bytes, in hexadecimal digits."""
    digest, left = hashlib.sha256(), Path(path).stat().st_size if size is None else size
    with Path(path).open("rb") as file:
        while left > 0 and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def _check_files(metadata: ExportMetadata, folder: Path, path: object) -> None:
    for name, expected in metadata.files.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise WeightsError(
                f"{path} needs the file {name!r} beside it, which is missing; copy all files of "
                "the export together"
            )
        if file_sha256(folder / name) != expected:
            raise WeightsError(_changed(path, folder / name))


def _onnx_entry(path: str | os.PathLike[str]) -> tuple[str, int, int] | None:
    """The text of the entry, and where its field begins and ends; None: there is none.

    Raises:
        WeightsError: the file is no protobuf message, or ends early.
    """
    size = Path(path).stat().st_size
    found = None
    with Path(path).open("rb") as file:
        try:
            while (start := file.tell()) < size:
                number, content = read_field(file, size, {_METADATA_PROPS})
                if number == _METADATA_PROPS:
                    entry = read_strings(content)
                    if entry.get(1) == KEY.encode():
                        found = entry.get(2, b"").decode(), start, file.tell()
        except (ValueError, UnicodeDecodeError) as error:
            raise WeightsError(
                f"{path} is no ONNX file, or a damaged one ({error}). Export the model again"
            ) from None
    if not size:
        raise WeightsError(f"{path} is empty. Export the model again")
    return found


def _check_version(content: dict[str, Any], name: object) -> None:
    version = content.get("format_version")
    if type(version) is not int:
        raise WeightsError(_damaged(name, f"their format_version is {version!r}"))
    if version != FORMAT_VERSION:
        writer = content.get("segsuite_version", "of another version")
        way = "update segsuite" if version > FORMAT_VERSION else "export the model again"
        raise WeightsError(
            f"{name} was exported by segsuite {writer} as version {version} of the format, and "
            f"this segsuite reads version {FORMAT_VERSION}: {way}"
        )


def _damaged(name: object, problem: str) -> str:
    return f"{name} has damaged metadata of segsuite: {problem}. Export the model again"


def _changed(name: object, part: object) -> str:
    return (
        f"{name} is damaged: the checksum of {part} is not the one that was noted when it was "
        "exported. Copy the files of the export again, or export the model again"
    )


def _not_ours(name: object, place: str) -> str:
    return (
        f"{name} was not exported by segsuite: it has no {KEY!r} in its {place}, which says "
        "what its classes are and how images are prepared. Export a run by `segsuite export "
        f"RUN --output {Path(str(name)).name}`"
    )


_READERS = {".onnx": metadata_of_onnx, ".xml": metadata_of_openvino, ".pt2": metadata_of_pt2}
