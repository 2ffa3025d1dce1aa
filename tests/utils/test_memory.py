import os
from pathlib import Path

import pytest
import torch

from segsuite.utils import memory


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="no /proc/meminfo: not Linux")
def test_it_is_a_part_of_what_there_is():
    free = memory.free_memory(torch.device("cpu"))
    assert 0 < free <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_limits_of_control_groups(tmp_path, monkeypatch):
    """That of an outer group counts where it leaves less."""
    files = {
        "/proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:  1000 kB\n",
        "/proc/self/cgroup": "0::/job/step\n",
    }
    read = memory._read
    monkeypatch.setattr(memory, "_read", lambda path: files.get(str(path)) or read(path))
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    step = tmp_path / "job" / "step"
    step.mkdir(parents=True)
    assert memory.free_memory(torch.device("cpu")) == 1024 * 1000
    for folder, limit, used in ((step, "max", 70), (step.parent, "500000", 100_000)):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text("anon 5\ninactive_file 30000\n")
    assert memory.free_memory(torch.device("cpu")) == 430_000


def test_where_nothing_tells(monkeypatch):
    monkeypatch.setattr(memory, "_read", lambda path: "")
    assert memory.free_memory(torch.device("cpu")) is None
    assert memory.free_memory(torch.device("meta")) is None
