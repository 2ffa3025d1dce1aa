import argparse
import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from segsuite.checkpoint import load_state

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1, 2])}
fuzz = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Hostile:
    """Creates the file `path` when it is unpickled by a reader that lets it."""

    def __init__(self, path, call=os.system):
        self.args = (call, (f"touch {path}",) if call is os.system else (str(path), "w"))

    def __reduce__(self):
        return self.args


def legacy_torch(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


def zoo_pickle(value, path, protocol=2):
    path.write_bytes(pickle.dumps(value, protocol))


def assert_same(loaded, expected):
    assert loaded.keys() == expected.keys()
    for name, tensor in expected.items():
        assert loaded[name].dtype == tensor.dtype, name
        assert torch.equal(loaded[name], tensor), name


class TestFormats:
    @pytest.mark.parametrize("save", [torch.save, legacy_torch])
    @pytest.mark.parametrize("suffix", [".pth", ".pkl", ""])
    def test_torch(self, tmp_path, save, suffix):
        path = tmp_path / f"weights{suffix}"
        save({"model": WEIGHTS, "iteration": 3}, path)
        state = load_state(path)
        assert_same(state["model"], WEIGHTS)
        assert state["iteration"] == 3

    @pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
    def test_safetensors(self, tmp_path, suffix):
        save_file = pytest.importorskip("safetensors.torch").save_file
        path = tmp_path / f"weights{suffix}"
        save_file(WEIGHTS, path)
        assert_same(load_state(path), WEIGHTS)

    def test_safetensors_that_begin_like_a_web_page(self, tmp_path):
        pytest.importorskip("safetensors")
        header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'.ljust(ord("<"))
        path = tmp_path / "weights.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
        assert_same(load_state(path), {"w": torch.zeros(2)})

    @pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
    def test_model_zoo(self, tmp_path, protocol):
        model = OrderedDict((name, tensor.numpy()) for name, tensor in WEIGHTS.items())
        model["scale"] = np.float32(0.5)
        file = {"model": model, "__author__": "zoo", "matching_heuristics": True, "shape": (1, 2)}
        zoo_pickle(file, tmp_path / "weights.pkl", protocol)
        state = load_state(tmp_path / "weights.pkl")
        assert_same(state["model"], {**WEIGHTS, "scale": torch.tensor(0.5)})
        assert state["__author__"] == "zoo"
        assert state["matching_heuristics"] is True
        assert state["shape"] == (1, 2)

    def test_model_zoo_of_numpy_1_and_python_2(self, tmp_path):
        # Python 2 wrote raw bytes as its strings (opcode U), NumPy 1 lived in numpy.core.
        data = np.array([1.5, -2.0], np.float32).tobytes()
        pickled = (
            b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
            b"U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNN"
            b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08" + data + b"tbs."
        )
        (tmp_path / "weights.pkl").write_bytes(pickled)
        assert_same(load_state(tmp_path / "weights.pkl"), {"w": torch.tensor([1.5, -2.0])})

    @given(
        array=npst.arrays(
            st.sampled_from(["?", "i1", "i2", "i4", "i8", "u1", "f2", "f4", "f8"]),
            npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        ),
        order=st.sampled_from("CF"),
        protocol=st.sampled_from([2, 5]),
    )
    @fuzz
    def test_any_array_of_the_zoo(self, tmp_path, array, order, protocol):
        zoo_pickle({"w": np.asarray(array, order=order)}, tmp_path / "weights.pkl", protocol)
        loaded = load_state(tmp_path / "weights.pkl")["w"]
        expected = torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
        assert loaded.shape == expected.shape
        assert loaded.dtype == expected.dtype
        assert torch.equal(loaded.nan_to_num(), expected.nan_to_num())


class TestHostile:
    """No code in a file runs, and the message names what it asked for."""

    @pytest.mark.parametrize("save", [torch.save, legacy_torch, zoo_pickle])
    @pytest.mark.parametrize("call, named", [(os.system, "posix.system"), (open, "io.open")])
    def test_call(self, tmp_path, save, call, named):
        path, pwned = tmp_path / "weights.pkl", tmp_path / "pwned"
        save({"model": WEIGHTS if save is not zoo_pickle else {}, "x": Hostile(pwned, call)}, path)
        pickle.loads(pickle.dumps(Hostile(pwned, call)))
        assert pwned.exists()  # so it does harm where it may
        pwned.unlink()
        with pytest.raises(ValueError, match=rf"weights\.pkl.*'{named}'.*nothing was run"):
            load_state(path)
        assert not pwned.exists()

    @pytest.mark.parametrize("save", [torch.save, legacy_torch, zoo_pickle])
    def test_foreign_class(self, tmp_path, save):
        save({"model": {}, "args": argparse.Namespace(lr=1)}, tmp_path / "weights.pth")
        with pytest.raises(ValueError, match=r"'argparse\.Namespace'"):
            load_state(tmp_path / "weights.pth")

    @pytest.mark.parametrize(
        "code, named",
        [
            (b"\x80\x02cnumpy\nload\n.", "numpy.load"),
            (b"\x80\x04\x8c\x08builtins\x8c\x0cndarray.eval\x93.", "builtins.ndarray.eval"),
            (b"\x80\x02cnumpy.core.multiarray\nscalar.__init__.__globals__\n.", "scalar.__init__"),
            (b"\x80\x02csegsuite.checkpoint.zoo_pickle\npickle\n.", "zoo_pickle.pickle"),
        ],
    )
    def test_name_beside_the_admitted_ones(self, tmp_path, code, named):
        (tmp_path / "weights.pkl").write_bytes(code)
        with pytest.raises(ValueError, match=named.replace(".", r"\.")):
            load_state(tmp_path / "weights.pkl")

    def test_codecs_encode_is_not_a_way_to_other_codecs(self, tmp_path):
        code = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R."
        (tmp_path / "weights.pkl").write_bytes(code)
        with pytest.raises(ValueError, match="rot13"):
            load_state(tmp_path / "weights.pkl")

    @pytest.mark.parametrize(
        "name",
        [b"_codecs\nencode", b"numpy\nndarray", b"numpy\ndtype", b"collections\nOrderedDict"],
    )
    def test_classes_cannot_be_changed(self, tmp_path, name):
        code = b"\x80\x02c" + name + b"\nN}X\x01\x00\x00\x00aK\x01s\x86b."  # setattr(cls, "a", 1)
        (tmp_path / "weights.pkl").write_bytes(code)
        with pytest.raises(ValueError, match="not a checkpoint"):
            load_state(tmp_path / "weights.pkl")

    def test_memory_follows_the_file(self, tmp_path):
        """A huge index of the memo (opcode r) costs nothing."""
        (tmp_path / "weights.pkl").write_bytes(b"\x80\x02}r\xff\xff\xff\xff.")
        assert load_state(tmp_path / "weights.pkl") == {}

    @pytest.mark.parametrize(
        "dtype, match", [("O", "'O8'"), ("c8", "'c8'"), ("U1", "'U1'"), (">f4", "big-endian")]
    )
    def test_array_of_another_type(self, tmp_path, dtype, match):
        zoo_pickle({"w": np.zeros(2, dtype)}, tmp_path / "weights.pkl")
        with pytest.raises(ValueError, match=match):
            load_state(tmp_path / "weights.pkl")


class TestNotACheckpoint:
    @pytest.mark.parametrize("suffix", [".pth", ".pkl", ".safetensors"])
    @pytest.mark.parametrize(
        "content, match",
        [
            (b"", "the file is empty"),
            (b"\n<!DOCTYPE html><html>Not found</html>", "web page"),
            (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
            (b"\x89PNG\r\n\x1a\n" + bytes(100), "begins with|not a checkpoint"),
            (b"PK\x03\x04" + bytes(100), "its end is missing"),
        ],
    )
    def test_content(self, tmp_path, content, match, suffix):
        path = tmp_path / f"weights{suffix}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=match) as caught:
            load_state(path, origin="MODEL.WEIGHTS")
        assert f"MODEL.WEIGHTS: '{path}'" in str(caught.value)

    @pytest.mark.parametrize("path", ["missing.pth", "https://host/weights.pth", "."])
    def test_no_file(self, tmp_path, monkeypatch, path):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(FileNotFoundError, match=rf"MODEL\.WEIGHTS: '{path}'"):
            load_state(path, origin="MODEL.WEIGHTS")

    def test_other_zip(self, tmp_path):
        np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
        with pytest.raises(ValueError, match="not a checkpoint"):
            load_state(tmp_path / "arrays.npz")

    def test_not_a_dict(self, tmp_path):
        torch.save([torch.zeros(1)], tmp_path / "weights.pth")
        with pytest.raises(ValueError, match="holds a list"):
            load_state(tmp_path / "weights.pth")

    def test_the_message_does_not_advise_unsafe_loading(self, tmp_path):
        torch.save({"x": argparse.Namespace()}, tmp_path / "weights.pth")
        with pytest.raises(ValueError) as caught:
            load_state(tmp_path / "weights.pth")
        assert "weights_only" not in str(caught.value)

    @pytest.mark.filterwarnings("ignore:Detected pickle protocol")
    @given(data=st.data())
    @fuzz
    @pytest.mark.parametrize("kind", ["legacy", "zoo", "safetensors"])
    def test_damaged(self, tmp_path, kind, data):
        """Cut short or with a flipped byte: a ValueError or a dict, never anything else."""
        content = bytearray(damaged_originals()[kind])
        if data.draw(st.booleans()):
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        else:
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path = tmp_path / "weights"
        path.write_bytes(content)
        try:
            assert isinstance(load_state(path), dict)
        except ValueError as error:
            assert str(path) in str(error)


def damaged_originals():
    legacy = io.BytesIO()
    torch.save({"model": WEIGHTS}, legacy, _use_new_zipfile_serialization=False)
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    return {
        "legacy": legacy.getvalue(),
        "zoo": pickle.dumps({"model": {k: v.numpy() for k, v in WEIGHTS.items()}}, 2),
        "safetensors": struct.pack("<Q", len(header)) + header + bytes(8),
    }
