"""A ``.pt2`` is run by PyTorch, and runs nothing of its own making."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segsuite.errors import ConfigError, MissingFileError, WeightsError
from segsuite.modeling.exported.pt2 import TorchExportEngine
from segsuite.modeling.exported.pt2_check import check_runs_no_code
from segsuite.runtime import ExportedModel
from segsuite.runtime.metadata import PT2_EXTRA_FILE
from tests.runtime import toys


class Toy(nn.Module):
    """The toy of the runtime's tests: label 1 where the mean of the channels is above 127.5."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 3, 1, 1), 1 / 3))

    def forward(self, images, size):
        mean = nn.functional.conv2d(images.float(), self.weight)
        height, width = (n.item() for n in size)
        torch._check(height > 0)
        torch._check(width > 0)
        resized = nn.functional.interpolate(mean, (height, width), mode="bilinear")[:, 0]
        # JSON has no infinite numbers; graphs with proposals do.
        resized = resized.masked_fill(resized < 0, -torch.inf)
        return (resized > 127.5).to(torch.uint8), resized / 255


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("pt2") / "m.pt2"
    sizes = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    program = torch.export.export(
        Toy().eval(),
        (torch.zeros(2, 3, 16, 24, dtype=torch.uint8), torch.tensor([30, 50])),
        dynamic_shapes={"images": sizes, "size": None},
    )
    torch.export.save(program, path, extra_files={PT2_EXTRA_FILE: toys.metadata().to_json()})
    return path


@pytest.fixture
def rewrite(original, tmp_path):
    """Writes the file anew with some members changed by a function, or added."""

    def write(changes=None, added=None):
        path = tmp_path / "m.pt2"
        with zipfile.ZipFile(original) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                for ending, change in (changes or {}).items():
                    content = change(content) if name.endswith(ending) else content
                new.writestr(name, content)
            for name, content in (added or {}).items():
                new.writestr(f"m/{name}", content)
        return path

    return write


def test_runs(original):
    pixels = np.full((30, 50, 3), 20, np.uint8)
    pixels[:, 25:] = 230
    engine = TorchExportEngine(original)
    result = ExportedModel(engine)(pixels)
    assert "torch.export" in engine.name and result.size == (30, 50)
    assert (result.labels[:, :22] == 0).all() and (result.labels[:, 28:] == 1).all()


def test_sound_files_pass(original, rewrite):
    check_runs_no_code(original)
    check_runs_no_code(rewrite())
    TorchExportEngine(rewrite())


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN"])
def test_numbers_that_are_not_finite_pass(rewrite, number):
    inputs = [{"arg": {"as_float": number}}, {"arg": {"as_floats": [1.0, number]}}]
    check_runs_no_code(rewrite({"models/model.json": in_node(inputs=inputs)}))


@pytest.mark.parametrize("name", ["__and__.Tensor", "__or__.Scalar", "__rshift__.Tensor"])
def test_operators_of_python_pass(rewrite, name):
    change = in_node(target=f"torch.ops.aten.{name}")
    check_runs_no_code(rewrite({"models/model.json": change}))


class Evil:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def in_json(change):
    def apply(content):
        tree = json.loads(content)
        change(tree)
        return json.dumps(tree)

    return apply


def in_node(**facts):
    return in_json(lambda tree: tree["graph_module"]["graph"]["nodes"][0].update(facts))


def first_expression(text):
    def change(tree):
        value, *_ = tree["graph_module"]["graph"]["sym_int_values"].values()
        value["as_expr"]["expr_str"] = text

    return in_json(change)


class TestCode:
    """Each way by which loading such a file runs code; none gets as far as PyTorch."""

    @pytest.fixture
    def trap(self, tmp_path):
        trap = tmp_path / "was_here"
        yield trap
        assert not trap.exists()

    def refuses(self, path, message):
        with pytest.raises(WeightsError, match=message):
            TorchExportEngine(path)

    def test_pickled_weights(self, rewrite, trap):
        def pickled(tree):
            for payload in tree["config"].values():
                payload["use_pickle"] = True

        buffer = io.BytesIO()
        torch.save(Evil(trap), buffer)
        changes = {
            "weights_config.json": in_json(pickled),
            "weight_0": lambda _: buffer.getvalue(),
        }
        self.refuses(rewrite(changes), "pickled")

    def test_objects_among_the_constants(self, rewrite, trap):
        config = {"config": {"x": {"path_name": "opaque_obj_0", "use_pickle": False}}}
        path = rewrite(
            {"constants_config.json": lambda _: json.dumps(config)},
            {"data/constants/opaque_obj_0": pickle.dumps(Evil(trap))},
        )
        self.refuses(path, "opaque_obj_0|is an object")

    def test_example_inputs(self, rewrite, trap):
        buffer = io.BytesIO()
        torch.save(Evil(trap), buffer)
        self.refuses(rewrite({"model.pt": lambda _: buffer.getvalue()}), "no plain tensors")

    def test_libraries(self, rewrite):
        path = rewrite(added={"data/aotinductor/model/a.so": b"\x7fELF"})
        self.refuses(path, r"member 'data/aotinductor/model/a\.so'")

    @pytest.mark.parametrize(
        "expression",
        [
            "__import__('pathlib').Path('{trap}').touch()",
            "(lambda: open('{trap}', 'w'))()",
            "[open('{trap}', 'w') for _ in 'x'][0]",
            "Symbol('u0').__class__",
            "open('{trap}', 'w')",
            "Symbol(open('{trap}', 'w'))",
            "s0 + (",
        ],
    )
    def test_sizes(self, rewrite, trap, expression):
        changes = {"models/model.json": first_expression(expression.format(trap=trap))}
        self.refuses(rewrite(changes), "a size in its graph")

    @pytest.mark.parametrize(
        "target",
        [
            "torch.os.system",
            "torch.ops.aten.from_file.default",
            "torch.ops.load_library",
            "torch.ops.higher_order.triton_kernel_wrapper_functional",
            "_operator.__import__",
            "math.__loader__.load_module",
            "torch.ops.aten.__and__.__class__",
            "torch.ops.aten.__and__.Tensor.__call__",
            "torch.ops.aten.__init__.Tensor",
            "#custom",
        ],
    )
    def test_functions(self, rewrite, target):
        self.refuses(rewrite({"models/model.json": in_node(target=target)}), "its graph calls")

    def test_names(self, rewrite):
        def change(tree):
            tree["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = "x=print(1)"

        self.refuses(rewrite({"models/model.json": in_json(change)}), "has the name")

    @pytest.mark.parametrize("key", ["as_string_value", "name"])
    def test_numbers_in_the_place_of_names(self, rewrite, key):
        change = in_node(inputs=[{key: "-Infinity"}])
        self.refuses(rewrite({"models/model.json": change}), "has the name '-Infinity'")

    def test_containers(self, rewrite):
        def change(tree):
            signature = tree["graph_module"]["module_call_graph"][0]["signature"]
            signature["in_spec"] = '[1, {"type": "collections.namedtuple", "children_spec": []}]'

        self.refuses(rewrite({"models/model.json": in_json(change)}), "of the kind")

    def test_guards(self, rewrite, trap):
        """They are Python, and nobody runs them."""

        def change(tree):
            tree["guards_code"] = [f"open({str(trap)!r}, 'w')"]

        engine = TorchExportEngine(rewrite({"models/model.json": in_json(change)}))
        ExportedModel(engine)(np.zeros((20, 30, 3), np.uint8))


@pytest.mark.parametrize("content", ["{", "[]", '{"config": 3}', '{"config": {"a": {}}}'])
def test_damaged_members(rewrite, content):
    with pytest.raises(WeightsError, match=r"damaged|pickled"):
        TorchExportEngine(rewrite({"weights_config.json": lambda _: content}))


def test_graphs_that_pytorch_does_not_take(rewrite):
    path = rewrite({"models/model.json": in_json(lambda tree: tree.pop("graph_module"))})
    with pytest.raises(WeightsError, match=r"PyTorch .* does not take"):
        TorchExportEngine(path)


def test_other_errors(original, tmp_path):
    with pytest.raises(MissingFileError, match="no exported model"):
        TorchExportEngine(tmp_path / "none.pt2")
    with pytest.raises(ConfigError, match="no device 'abc'"):
        TorchExportEngine(original, device="abc")
