"""That loading a ``.pt2`` runs nothing of the file's own making.

`torch.export.load` unpickles tensors and objects where the archive says so, loads compiled
libraries that are in it, evaluates the expressions of symbolic sizes as Python, and looks functions
up by the names that nodes have. Exports of segsuite need none of that but plain expressions and
PyTorch's own operators, so everything else is refused before it is loaded.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from segsuite.errors import WeightsError

_MEMBERS = re.compile(
    r"(models/\w+\.json|data/weights/\w+(\.json)?|data/constants/(\w+_constants_config\.json|tensor_\w+)"
    r"|data/sample_inputs/\w+\.pt|extra/[\w.]+|archive_format|archive_version|byteorder"
    r"|version|\.data/\w+|\.format_version|\.storage_alignment)"
)
_OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims|torchvision|segsuite)\.\w+(\.\w+)?"
    r"|torch\.ops\.higher_order\.while_loop"
    r"|_operator\.\w+|math\.\w+|torch\.sym_\w+|torch\._sym_\w+"
)
# Those whose names have the underscores of what is refused otherwise.
_LOGICAL = re.compile(r"torch\.ops\.aten\.__(and|or|xor|lshift|rshift)__\.(Tensor|Scalar)")
# Operators that reach beyond the tensors they are given.
_REFUSED_OPERATORS = re.compile(r"torch\.ops\.aten\.(from_file|_print|save|load)\b.*")
_NAMES = re.compile(r"[\w.]*")
_INFINITE = re.compile(r"-?Infinity|NaN")  # JSON has no such numbers, so they are texts
_FUNCTIONS = re.compile(
    r"Symbol|Integer|Float|Rational|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|CeilToInt"
    r"|FloorToInt|TruncToInt|RoundToInt|ToFloat|IntTrueDiv|FloatTrueDiv|FloatPow|PowByNatural"
    r"|LShift|RShift|ModularIndexing|Where|Identity|Add|Mul|Pow|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|Abs"
    r"|GreaterThan|LessThan|StrictGreaterThan|StrictLessThan|Equality|Unequality|floor|ceiling"
)
_SYMBOLS = re.compile(r"[a-z]+\d+|true|false|oo|zoo|nan|int_oo")
_NODES = (
    *(ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Tuple),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
# What nodes carry for people to read; PyTorch keeps it as text.
_FREE_TEXT = (
    *("stack_trace", "nn_module_stack", "torch_fn", "as_string", "as_strings"),
    *("from_node", "custom", "torch_version"),
)
_SPECS = ("in_spec", "out_spec")
_CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", None)


def check_runs_no_code(path: str | Path) -> None:
    """Look through an archive of torch.export without loading it.

    Raises:
        WeightsError: it is damaged, or has what could run code or read other files.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            problem = next(_problems(archive), None)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise WeightsError(f"{path} is damaged: {error}. Export the model again") from None
    if problem is not None:
        raise WeightsError(
            f"{path} is not loaded: {problem}, by which a file can run code of its own, and which "
            "exports of segsuite do not have. If you trust it, open it by torch.export.load"
        )


def _problems(archive: zipfile.ZipFile) -> Iterator[str]:
    names = [name.partition("/")[2] for name in archive.namelist()]
    yield from (f"it has a member '{n}'" for n in names if not _MEMBERS.fullmatch(n))
    for whole, name in zip(archive.namelist(), names, strict=True):
        if name.endswith("_config.json"):
            yield from _pickled(json.loads(archive.read(whole)))
        elif name.startswith("data/sample_inputs/"):
            yield from _not_plain(archive.read(whole))
        elif name.startswith("models/"):
            yield from _in_graph(json.loads(archive.read(whole)), "")


def _pickled(config: dict[str, Any]) -> Iterator[str]:
    for name, payload in config["config"].items():
        if payload["use_pickle"] is not False or not re.fullmatch(r"\w+", payload["path_name"]):
            yield f"its tensor '{name}' is pickled"
        if re.match(r"(custom|opaque)_obj", payload["path_name"]):
            yield f"its '{name}' is an object"


def _not_plain(content: bytes) -> Iterator[str]:
    """PyTorch would go on to unpickle what is more than tensors and containers of them."""
    if content:
        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except Exception:
            yield "its example inputs are no plain tensors"


def _in_graph(value: Any, key: str) -> Iterator[str]:
    """What a graph's JSON has below a key, or in a list there."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not _NAMES.fullmatch(name):
                yield f"its graph has the key {name!r}"
            yield from _in_graph(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _in_graph(inner, key)
    elif isinstance(value, str) and key not in (*_FREE_TEXT, "guards_code"):
        yield from _in_text(value, key)


def _in_text(text: str, key: str) -> Iterator[str]:
    if key == "target":
        if not _is_operator(text):
            yield f"its graph calls '{text}'"
    elif key == "expr_str":
        if not _is_arithmetic(text):
            yield f"a size in its graph is '{text}'"
    elif key in _SPECS:
        if not all(kind in _CONTAINERS for kind in _types(json.loads(text))):
            yield f"its inputs or outputs are of the kind {text}"
    elif not _NAMES.fullmatch(text) and not (
        key in ("as_float", "as_floats") and _INFINITE.fullmatch(text)
    ):
        yield f"its graph has the name {text!r}"


def _is_operator(text: str) -> bool:
    if "__" in text:
        return _LOGICAL.fullmatch(text) is not None
    return bool(_OPERATORS.fullmatch(text)) and not _REFUSED_OPERATORS.fullmatch(text)


def _is_arithmetic(text: str) -> bool:
    """Whether an expression is of numbers, symbols and SymPy's functions of these alone."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, RecursionError, MemoryError):
        return False
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return all(
        isinstance(node, _NODES)
        and (
            not isinstance(node, ast.Name)
            or bool((_FUNCTIONS if id(node) in called else _SYMBOLS).fullmatch(node.id))
        )
        and (
            not (isinstance(node, ast.Constant) and isinstance(node.value, str))
            or bool(re.fullmatch(r"\w+", node.value))
        )
        for node in nodes
    )


def _types(spec: Any) -> Iterator[Any]:
    """The types that a tree's JSON names."""
    if isinstance(spec, dict):
        yield spec.get("type")
        yield from _types(spec.get("children_spec", []))
    elif isinstance(spec, list):
        for inner in spec:
            yield from _types(inner)
