"""Checkpoints to which every process brings its shards: whole or not there, and read with care."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import zlib

import pytest
import torch

from segsuite.checkpoint import Checkpointer, load_state
from segsuite.checkpoint.addresses import read_weights
from segsuite.errors import FileAccessError, WeightsError
from segsuite.utils import comm
from tests.processes import ForkedProcess, Rendezvous, run_group

ROWS = {"one row": 1, "odd": 5, "even": 4}


def tensors(iteration):
    generator = torch.Generator().manual_seed(iteration)
    made = {name: torch.randn(rows, 3, generator=generator) for name, rows in ROWS.items()}
    return {**made, "half.weight": torch.randn(6, 2, generator=generator).half()}


def expected(iteration):
    own = tensors(iteration)
    moments = {0: {"exp_avg": own["odd"] * 2, "step": torch.tensor(3.0)}}
    return {
        "model": {**own, "running_mean": torch.ones(2)},
        "optimizer": {"state": moments, "param_groups": [{"lr": 0.1, "params": [0, 1]}]},
        "iteration": iteration,
    }


def sharded(value):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (comm.get_world_size(),))

    def of(item):
        if isinstance(item, dict):
            return {key: of(inner) for key, inner in item.items()}
        is_parameter = isinstance(item, torch.Tensor) and item.dim() == 2
        return distribute_tensor(item, mesh, [Shard(0)]) if is_parameter else item

    return of(value)


def write(folder, iterations=(1,), keep=2):
    checkpointer = Checkpointer(folder, keep=keep)
    for iteration in iterations:
        checkpointer.save_sharded(iteration, sharded(expected(iteration)))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with the checkpoints of two processes after the iterations 2 and 3."""
    folder = tmp_path_factory.mktemp("written")
    run_group(write, folder, (1, 2, 3))
    return folder


@pytest.fixture
def output(written, tmp_path):
    return shutil.copytree(written, tmp_path / "output")


def assert_same(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b)
    else:
        assert a == b


def test_one_process_reads_what_two_have_written(output):
    path, state = Checkpointer(output).latest()
    assert path.name == "model_0000003.shards"
    assert_same(state, expected(3))
    assert sorted(p.name for p in output.iterdir()) == [
        "model_0000002.shards",
        "model_0000003.shards",
    ]


def test_its_weights_can_be_those_of_another_run(output):
    assert_same(read_weights(output / "model_0000003.shards")["model"], expected(3)["model"])


@pytest.mark.parametrize("name", ["__0_0.distcp", "__1_0.distcp", ".metadata", "state.pth"])
@pytest.mark.parametrize("damage", ["bit", "cut", "gone"])
def test_damage_of_any_file_is_told_and_the_one_before_is_used(output, caplog, name, damage):
    path = output / "model_0000003.shards" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage != "gone":
        path.write_bytes(content if damage == "bit" else content[:-1])
    latest, state = Checkpointer(output).latest()
    assert latest.name == "model_0000002.shards"
    assert_same(state, expected(2))
    assert str(path) in caplog.text


def replace_metadata(folder, content):
    """As somebody who wants it to be read would."""
    (folder / ".metadata").write_bytes(content)
    state = load_state(folder / "state.pth")
    state["checksums"][".metadata"] = zlib.crc32(content)
    Checkpointer(folder).save("state", state)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_metadata_that_would_run_code_is_refused(output, tmp_path):
    made = tmp_path / "made by foreign code"
    folder = output / "model_0000003.shards"
    replace_metadata(folder, pickle.dumps(Hostile(made)))
    with pytest.raises(
        WeightsError,
        match=r"\.metadata' cannot be loaded: it asks for 'posix.mkdir'.*nothing was run",
    ):
        Checkpointer(output).load(folder)
    assert not made.exists()


def edited(folder, edit):
    described = pickle.loads((folder / ".metadata").read_bytes())
    edit(described)
    replace_metadata(folder, pickle.dumps(described))


def test_pickled_objects_huge_tensors_and_foreign_files_are_refused(output):
    from torch.distributed.checkpoint.metadata import BytesStorageMetadata

    def objects(described):
        described.state_dict_metadata["model/odd"] = BytesStorageMetadata()

    def huge(described):
        described.state_dict_metadata["model/odd"].size = torch.Size([10**9, 100])

    def elsewhere(described):
        for info in described.storage_data.values():
            info.relative_path = "../model_0000002.shards/__0_0.distcp"

    for edit in (objects, huge, elsewhere):
        folder = shutil.copytree(output / "model_0000003.shards", output / edit.__name__)
        edited(folder, edit)
        with pytest.raises(WeightsError, match=r"cannot be loaded|far larger|not one of"):
            Checkpointer(output).load(folder)


def die_at(call):
    """Kill this process in its n-th sync, or rename, of a file or folder."""
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def counted(*args, original=original):
            calls.append(args)
            if len(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args)

        setattr(os, name, counted)


def write_and_die(folder, rank, call):
    import torch.distributed as dist

    dist.init_process_group("gloo")
    if comm.get_rank() == rank:
        die_at(call)
    write(folder, (4,), keep=1)
    dist.destroy_process_group()


# Process 0: its shards, the metadata, state.pth, its folder, the names. Process 1: its shards.
@pytest.mark.slow
@pytest.mark.parametrize(("rank", "call"), [*((0, call) for call in range(1, 11)), (1, 1)])
def test_a_kill_at_any_moment_leaves_a_whole_one(output, rank, call):
    rendezvous = Rendezvous(2)
    group = [
        ForkedProcess(write_and_die, output, rank, call, environment=rendezvous.environment(r))
        for r in range(2)
    ]
    killed = group[rank].wait() == -signal.SIGKILL
    for process in group:
        process.kill()
    path, state = Checkpointer(output).latest()
    assert path.name in ("model_0000003.shards", "model_0000004.shards")
    assert killed or path.name == "model_0000004.shards"
    assert_same(state, expected(int(path.stem[-1])))
    run_group(write, output, (5,))
    assert not list(output.glob(".tmp-*"))
    assert Checkpointer(output).latest()[1]["iteration"] == 5


def write_without_room(folder):
    def full(*_):
        raise OSError(28, "No space left on device")

    if comm.get_rank() == 1:
        os.fsync = full
    with pytest.raises(FileAccessError, match=r"model_0000004\.shards.*No space left") as error:
        write(folder, (4,))
    return str(error.value)


def test_a_full_disk_of_one_process_is_told_by_all(output):
    first, second = run_group(write_without_room, output)
    assert "Earlier checkpoints are intact" in first and "Earlier checkpoints" in second
    assert Checkpointer(output).latest()[1]["iteration"] == 3
