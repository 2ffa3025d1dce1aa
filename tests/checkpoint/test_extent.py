"""Files of a few bytes that stand for very much: refused within seconds and little memory."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch

from segsuite.checkpoint import load_state
from segsuite.errors import WeightsError
from tests.processes import run_python

LIMITED = """
import resource, sys
from segsuite.checkpoint import load_state
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_state(sys.argv[1])
finally:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, "MiB")
"""


def refused(path, message):
    """Load it in a process that has little time, see that it is refused by name."""
    done = run_python("-c", LIMITED, path)
    assert f"WeightsError: '{path}' cannot be loaded: {message}" in done.stderr, done.stderr[-900:]
    assert int(done.stdout.split()[0]) < 500, done.stdout


@pytest.mark.parametrize("depth", [50, 60])
def test_references_that_are_shared(tmp_path, depth):
    data = b"\x80\x02}X\x01\x00\x00\x00w]q\x00"
    for i in range(depth):
        data += b"0]" + b"q" + bytes([i + 1]) + b"(" + (b"h" + bytes([i])) * 2 + b"e"
    (tmp_path / "bomb.pkl").write_bytes(data + b"s.")
    refused(tmp_path / "bomb.pkl", "it stands for more than 10,000,000 values")


@pytest.mark.parametrize("legacy", [False, True])
def test_references_that_are_shared_in_a_torch_file(tmp_path, legacy):
    bomb: list = []
    for _ in range(50):
        bomb = [bomb, bomb]
    path = tmp_path / "bomb.pth"
    torch.save({"model": bomb}, path, _use_new_zipfile_serialization=not legacy)
    refused(path, "it stands for more than 10,000,000 values")


def test_what_holds_itself(tmp_path):
    circle: list = []
    circle.append(circle)
    (tmp_path / "circle.pkl").write_bytes(pickle.dumps({"w": circle}, 2))
    refused(tmp_path / "circle.pkl", "it holds itself")


def test_nesting(tmp_path):
    (tmp_path / "deep.pkl").write_bytes(b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".")
    refused(tmp_path / "deep.pkl", "it is cut short, damaged or not a checkpoint (RecursionError")


def test_arrays_of_the_same_bytes(tmp_path):
    # Of 4 MB that are memoised, a thousand arrays.
    array = "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    state = "(K\x01J\x00\x00@\x00\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R\x89h\x01tb"
    text = b"T" + (1 << 22).to_bytes(4, "little") + bytes(1 << 22) + b"q\x01"
    lists = b"(" + (array + state).encode("latin1") * 1000 + b"l"
    (tmp_path / "again.pkl").write_bytes(b"\x80\x02}U\x01t" + text + b"sU\x01w" + lists + b"s.")
    refused(tmp_path / "again.pkl", "its arrays are far larger than the file")


def test_an_archive_that_is_compressed(tmp_path):
    torch.save({"model": {"w": torch.zeros(1 << 28, dtype=torch.uint8)}}, tmp_path / "large.pth")
    with (
        zipfile.ZipFile(tmp_path / "large.pth") as large,
        zipfile.ZipFile(tmp_path / "small.pth", "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for record in large.infolist():
            small.writestr(record.filename, large.read(record))
    assert (tmp_path / "small.pth").stat().st_size < 1 << 20
    refused(tmp_path / "small.pth", "its 0.3 MB would become 268 MB")


def test_tensors_that_are_expanded(tmp_path):
    torch.save({"model": {"w": torch.zeros(1).expand(1 << 30)}}, tmp_path / "wide.pth")
    refused(tmp_path / "wide.pth", "its 0.0 MB would become 4,295 MB")


def test_shared_weights_and_many_values_are_loaded(tmp_path):
    w = torch.ones(1000, 1000)
    state = {"model": {f"w{i}": w for i in range(50)}, "hooks": list(range(100_000))}
    torch.save(state, tmp_path / "shared.pth")
    assert len(load_state(tmp_path / "shared.pth")["model"]) == 50
    with pytest.raises(WeightsError, match="a list; a dict"):
        torch.save([w], tmp_path / "list.pth")
        load_state(tmp_path / "list.pth")
