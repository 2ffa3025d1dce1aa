"""What Windows lacks, segsuite does without: a process from which it is taken away trains."""

from __future__ import annotations

from tests.engine.tiny import tiny_config
from tests.processes import run_python

PROGRAM = """
import builtins, importlib, os, pkgutil, signal, sys, types

# PyTorch and the others have ways of their own for Windows: they keep what they are used to.
import cv2, iopath.common.file_io, pycocotools.coco, torch, torch.distributed, torchvision, tqdm
import torch._dynamo, torch.distributed.checkpoint, torch.utils.data, torch.utils.tensorboard
import tests.engine.tiny

for name in [name for name in sys.modules if name.partition(".")[0] == "segsuite"]:
    del sys.modules[name]

UNIX = {"fcntl", "grp", "pwd", "resource", "termios", "pty", "syslog", "posix"}
find = builtins.__import__

def find_as_on_windows(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__") or ""
    if importer.partition(".")[0] == "segsuite" and name.partition(".")[0] in UNIX:
        raise ModuleNotFoundError(f"No module named '{name}'")
    return find(name, globals, locals, fromlist, level)

class Msvcrt(types.ModuleType):
    LK_NBLCK = 2
    def locking(self, descriptor, mode, size):
        assert mode == self.LK_NBLCK and size == 1

builtins.__import__ = find_as_on_windows
sys.modules["msvcrt"] = Msvcrt("msvcrt")
for module, names in {
    os: "setsid getpgid killpg uname O_DIRECTORY sched_getaffinity getuid geteuid",
    signal: "SIGHUP SIGUSR1 SIGUSR2 SIGALRM SIGKILL SIGXCPU sigwaitinfo pthread_sigmask",
}.items():
    for name in names.split():
        delattr(module, name)

import segsuite
for module in pkgutil.walk_packages(segsuite.__path__, "segsuite."):
    if not module.name.endswith(("__main__", "._C")):
        importlib.import_module(module.name)

from segsuite.config import load_config
from segsuite.engine import train

config, output = sys.argv[1:]
options = ["OUTPUT_DIR", output, "DATALOADER.NUM_WORKERS", 0, "SOLVER.MAX_ITER", 2]
train(load_config(config, options))
run = segsuite.Run(output)
assert run.evaluations["tiny_val"].speed["peak_memory_mib"] is None
assert "peak memory" not in run.files.report.read_text()
print("model_final" in run.checkpoints, run.files.lock.read_text())
"""


def test_without_the_modules_and_signals_of_unix(tmp_path):
    done = run_python("-c", PROGRAM, tiny_config(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("True process ")
