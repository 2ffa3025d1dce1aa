"""What processes print and how they end, after errors and after signals."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import signal
import subprocess
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers import REPO
from tests.processes import PATIENCE, is_running, python_command, run_python, wait_until

from .tiny import load, tiny_config

TRAIN_NET = REPO / "tools" / "train_net.py"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(autouse=True)
def hang_up_ends_processes():
    """Also where the tests run under nohup, which has them and their children ignore it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


# A step that lasts until it is told, so that signals come while it runs.
LONG_STEP = """
import os, time
from pathlib import Path

from segsuite.engine import HOOK_REGISTRY, HookBase
from segsuite.utils import comm


@HOOK_REGISTRY.register()
class LongStep(HookBase):
    def __init__(self, cfg):
        self.folder = Path(cfg.OUTPUT_DIR)

    def after_step(self):
        if self.trainer.iter == 2 and comm.is_main_process():
            (self.folder / "pid").with_suffix(".tmp").write_text(str(os.getpid()))
            (self.folder / "pid").with_suffix(".tmp").replace(self.folder / "pid")
            while self.folder.exists() and not (self.folder / "go on").exists():
                time.sleep(0.01)
"""

MISTAKE = """
from segsuite.engine import HOOK_REGISTRY, HookBase
from segsuite.utils import comm


@HOOK_REGISTRY.register()
class Mistaken(HookBase):
    def __init__(self, cfg):
        pass

    def after_step(self):
        if comm.get_rank() == comm.get_world_size() - 1:
            int("seven")  # the plug-in's own line


@HOOK_REGISTRY.register()
class Enough(HookBase):
    def __init__(self, cfg):
        pass

    def after_step(self):
        self.trainer.stop("enough")
"""


@pytest.fixture(scope="module")
def config():
    return tiny_config()


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Modules that ``--plugin`` finds."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "long_step.py").write_text(LONG_STEP)
    (folder / "mistake.py").write_text(MISTAKE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), pythonpath()])))
    return folder


def pythonpath() -> str:
    return os.environ.get("PYTHONPATH", "")


def options(config: Path, output: Path, plugin: str, hook: str) -> list[object]:
    return [
        "--config-file",
        config,
        "--plugin",
        plugin,
        "OUTPUT_DIR",
        output,
        "HOOKS",
        f"('{hook}',)",
    ]


class Training:
    """A training in its third step."""

    def __init__(self, config: Path, output: Path, *before: str, num_gpus: int = 1):
        self.output = output
        command = python_command(
            *before,
            TRAIN_NET,
            *("--num-gpus", num_gpus),
            *options(config, output, "long_step", "LongStep"),
        )
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        there = wait_until(lambda: self._pid.exists() or self.process.poll() is not None, PATIENCE)
        assert there and self._pid.exists(), self.end()

    @property
    def _pid(self) -> Path:
        return self.output / "pid"

    @property
    def pid(self) -> int:
        """Of the process that trains, the first of several."""
        return int(self._pid.read_text())

    def go_on(self) -> None:
        (self.output / "go on").touch()

    def end(self) -> tuple[int, str]:
        """The exit status, and what was printed."""
        try:
            text = self.process.communicate(timeout=PATIENCE)[0]
        finally:
            self.process.kill()
        return self.process.returncode, text


@pytest.mark.parametrize(
    ("signum", "status", "num_gpus"),
    [
        (signal.SIGINT, 130, 1),
        (signal.SIGINT, 130, 2),
        (signal.SIGTERM, 143, 1),
        (signal.SIGTERM, 143, 2),
        (signal.SIGHUP, 129, 2),
    ],
)
def test_a_signal_ends_a_training_in_good_order(
    config, plugins, tmp_path, signum, status, num_gpus
):
    training = Training(config, tmp_path / "run", num_gpus=num_gpus)
    training.process.send_signal(signum)
    time.sleep(0.1)
    training.go_on()
    code, text = training.end()
    assert code == status, text
    assert f"received {signum.name}" in text and "Traceback" not in text
    last = max((tmp_path / "run").glob("model_0*.pth"))
    assert load(last)["iteration"] in ((3,) if num_gpus == 1 else (3, 4))
    assert not (tmp_path / "run" / "model_final.pth").exists()


def test_a_terminal_that_closes(config, plugins, tmp_path):
    """It sends SIGHUP to all that run in it, the workers too, and printing to it is an error."""
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        python_command(
            TRAIN_NET,
            *options(config, tmp_path / "run", "long_step", "LongStep"),
            *("TEST.EVAL_PERIOD", 4, "DATALOADER.NUM_WORKERS", 1),
        ),
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(other_end)
    try:
        assert wait_until((tmp_path / "run" / "pid").exists, PATIENCE)
        os.close(terminal)
        (tmp_path / "run" / "go on").touch()
        assert process.wait(PATIENCE) == 129
    finally:
        process.kill()
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "received SIGHUP" in log and "Traceback" not in log
    assert load(max((tmp_path / "run").glob("model_0*.pth")))["iteration"] == 3


def test_a_launcher_that_is_killed_while_its_processes_start(config, tmp_path):
    mark = {"FAMILY_OF_THE_TEST": str(tmp_path)}
    process = subprocess.Popen(
        python_command(
            TRAIN_NET,
            *("--num-gpus", 2, "--config-file", config, "OUTPUT_DIR", tmp_path / "run"),
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", **mark},
    )
    try:
        assert wait_until(lambda: len(family(mark)) >= 3, PATIENCE)
        process.kill()
        process.wait()
        assert wait_until(lambda: not family(mark), PATIENCE)
    finally:
        for pid in family(mark):
            os.kill(pid, signal.SIGKILL)
    assert not (tmp_path / "run").exists()


def test_the_processes_of_a_torchrun_that_is_killed(config, plugins, tmp_path):
    training = Training(config, tmp_path / "run", *TORCHRUN)
    training.process.kill()
    training.process.wait()
    assert wait_until(lambda: not is_running(training.pid))


def family(mark: dict[str, str]) -> list[int]:
    """The processes that run with a variable in their environment."""
    ((name, value),) = mark.items()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            pid = int(path.parent.name)
            if f"{name}={value}".encode() in path.read_bytes().split(b"\0") and is_running(pid):
                found.append(pid)
    return found


def test_a_run_whose_folder_goes_away(config, plugins, tmp_path):
    training = Training(config, tmp_path / "run")
    shutil.rmtree(training.output)  # its step ends then
    code, text = training.end()
    assert code == 2
    assert f"OUTPUT_DIR '{training.output}' was removed" in text.splitlines()[-1]
    assert not training.output.exists()


def test_a_signal_to_a_process_of_torchrun(config, plugins, tmp_path):
    training = Training(config, tmp_path / "run", *TORCHRUN)
    os.kill(training.pid, signal.SIGTERM)
    time.sleep(0.1)
    training.go_on()
    code, text = training.end()
    assert code == 1 and "exitcode  : 143" in text, text
    assert load(max((tmp_path / "run").glob("model_0*.pth")))["iteration"] in (3, 4)


@pytest.mark.parametrize("num_gpus", [1, 2])
def test_ctrl_c_again_interrupts_at_once(config, plugins, tmp_path, num_gpus):
    training = Training(config, tmp_path / "run", num_gpus=num_gpus)
    training.process.send_signal(signal.SIGINT)
    time.sleep(1.2)
    training.process.send_signal(signal.SIGINT)
    code, text = training.end()
    assert code == 130, text
    assert text.splitlines()[-1] == "interrupted" and "Traceback" not in text
    assert not list((tmp_path / "run").glob("model_*.pth"))
    assert not is_running(training.pid)


def test_a_training_that_stops_by_itself_ends_with_0(config, plugins, tmp_path):
    process = run_python(TRAIN_NET, *options(config, tmp_path / "run", "mistake", "Enough"))
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "run" / "model_final.pth").exists()


@pytest.mark.parametrize(
    "command", [["-m", "segsuite", "report", "run"], [REPO / "tools" / "report.py", "run"]]
)
def test_ctrl_c_while_pytorch_is_imported(command, tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        f"import pathlib, time\npathlib.Path({str(tmp_path / 'here')!r}).touch()\ntime.sleep(600)\n"
    )
    process = subprocess.Popen(
        python_command(*command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPO}"},
    )
    assert wait_until((tmp_path / "here").exists)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "interrupted\n"
    assert process.returncode == 130


@pytest.mark.parametrize("num_gpus", [1, 2])
def test_ctrl_c_while_data_is_read(config, tmp_path, monkeypatch, num_gpus):
    (tmp_path / "slow_data.py").write_text(
        "import pathlib, time\n"
        "from segsuite.data import DatasetCatalog, MetadataCatalog\n"
        "def load():\n"
        f"    pathlib.Path({str(tmp_path / 'here')!r}).touch()\n"
        "    time.sleep(600)\n"
        "DatasetCatalog.register('slow', load)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), pythonpath()])))
    data = ["DATASETS.TRAIN", "('slow',)", "OUTPUT_DIR", tmp_path / "run"]
    process = subprocess.Popen(
        python_command(
            TRAIN_NET,
            *("--num-gpus", num_gpus, "--config-file", config, "--plugin", "slow_data", *data),
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert wait_until((tmp_path / "here").exists, PATIENCE)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.communicate(timeout=PATIENCE)[1] == "interrupted\n"
    assert process.returncode == 130
    assert "in load" in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.parametrize("num_gpus", [1, 2])
def test_a_mistake_in_a_plug_in_keeps_its_line(config, plugins, tmp_path, num_gpus):
    process = run_python(
        TRAIN_NET,
        *("--num-gpus", num_gpus),
        *options(config, tmp_path / "run", "mistake", "Mistaken"),
    )
    assert process.returncode == 1
    for text in (
        process.stderr,
        (tmp_path / "run" / ("log.txt" if num_gpus == 1 else "log.rank1.txt")).read_text(),
    ):
        assert 'int("seven")  # the plug-in\'s own line' in text
        assert "ValueError: invalid literal for int()" in text


def test_the_traceback_of_an_error_over_input_can_be_asked_for(config, tmp_path):
    process = run_python(
        TRAIN_NET,
        *("--config-file", config, "OUTPUT_DIR", tmp_path, "MODEL.WEIGHTS", "nothing.pth"),
        environment={"SEGSUITE_TRACEBACK": "1"},
    )
    assert process.returncode == 2
    assert process.stderr.startswith("Traceback")
    assert "MissingFileError: MODEL.WEIGHTS: 'nothing.pth' does not exist" in process.stderr


def test_an_image_that_a_worker_cannot_read(config, plugins, tmp_path):
    """One message on the console; the log has the lines of the worker and of this process."""
    good = config.parent / "train" / "labels" / "00.png"  # the first is looked at before
    (plugins / "damaged.py").write_text(
        "from segsuite.data import DatasetCatalog, MetadataCatalog\n"
        f"open({str(tmp_path / 'cut.png')!r}, 'wb').write(b'\\x89PNG')\n"
        "records = [{'file_name': name, 'sem_seg_file_name': name, 'image_id': 0, 'height': 32,"
        f" 'width': 32}} for name in [{str(good)!r}, *[{str(tmp_path / 'cut.png')!r}] * 8]]\n"
        "DatasetCatalog.register('damaged', lambda: records)\n"
        "MetadataCatalog.get('damaged').set(stuff_classes=['ground', 'box'])\n"
    )
    data = ["DATASETS.TRAIN", "('damaged',)", "DATALOADER.CHECK_LABELS", False]
    process = run_python(
        TRAIN_NET,
        *("--config-file", config, "--plugin", "damaged", "OUTPUT_DIR", tmp_path / "run", *data),
    )
    assert process.returncode == 2
    assert process.stderr.splitlines() == [
        f"error: {tmp_path / 'cut.png'} (4 bytes) is not an image that Pillow can read; "
        "replace it or leave it out of the data set"
    ]
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "in open_image" in log and "in run_step" in log and "DataError" in log
