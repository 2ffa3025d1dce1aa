from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from segsuite.config import get_cfg
from segsuite.engine.launch import launch
from segsuite.errors import DataError, describe_error
from segsuite.modeling import META_ARCH_REGISTRY
from segsuite.ops.rois import boxes_to_rois
from segsuite.utils.registry import Registry
from tests.helpers import REPO


def start(target: str, folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.engine.launch_targets", target, str(folder)]
    return subprocess.Popen(
        command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


class TestSeveralProcesses:
    def test_a_group_of_processes(self, tmp_path):
        process = start("report", tmp_path)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        if not torch.cuda.is_available():
            assert "no GPU here: running 2 processes on the CPU" in out
        method = "fork" if sys.platform == "linux" and sys.version_info < (3, 14) else ""
        assert (tmp_path / "rank0").read_text().startswith(f"0 0 2 3 {method}")
        assert (tmp_path / "rank1").read_text().startswith(f"1 1 2 3 {method}")

    def test_an_error_in_one_ends_all_with_its_traceback(self, tmp_path):
        process = start("fail", tmp_path)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 1, err
        assert "process 1:" in err and "in fail_in_the_second" in err
        assert "RuntimeError: what went wrong" in err
        assert not (tmp_path / "passed").exists()

    def test_they_end_when_the_first_process_is_killed(self, tmp_path):
        process = start("wait_for_the_end", tmp_path)
        files = [tmp_path / "pid0", tmp_path / "pid1"]
        while not all(f.exists() for f in files):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        process.kill()
        process.communicate()
        for pid in (int(f.read_text()) for f in files):
            while is_running(pid):
                time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


class TestErrors:
    """Input errors are told in a line, all others with their traceback."""

    def error(self, function):
        try:
            function()
        except Exception as error:
            return describe_error(error)
        raise AssertionError("no error")

    def test_a_user_error_is_its_message(self):
        text, status = self.error(lambda: META_ARCH_REGISTRY.get("SemanticSegmentr"))
        assert status == 2
        assert "error: 'SemanticSegmentr' is not in the META_ARCH registry. Did you mean" in text
        assert "Traceback" not in text

    def test_an_os_error_without_its_number(self, tmp_path):
        from segsuite.runs.output_dir import prepare_output_dir

        (tmp_path / "file").touch()
        text, status = self.error(lambda: prepare_output_dir(tmp_path / "file" / "x"))
        assert status == 2 and "error: OUTPUT_DIR" in text and "Errno" not in text

    @pytest.mark.parametrize(
        "function",
        [
            lambda: Registry("X").register(3),
            lambda: get_cfg().SOLVER.NOT_THERE,
            lambda: torch.zeros(2) + torch.zeros(3),
            lambda: (_ for _ in ()).throw(ValueError("of a plug-in")),
            lambda: boxes_to_rois([torch.zeros(3)]),  # ours, over a mistake in code
        ],
    )
    def test_of_another_origin(self, function):
        text, status = self.error(function)
        assert status == 1 and text.startswith("Traceback") and "test_launch.py" in text

    def test_a_user_error_that_another_error_caused(self, monkeypatch):
        def fail():
            try:
                int("seven")
            except ValueError as error:
                raise DataError("a file holds no number") from error

        assert self.error(fail) == ("error: a file holds no number", 2)
        monkeypatch.setenv("SEGSUITE_TRACEBACK", "1")
        text, status = self.error(fail)
        assert status == 2 and text.startswith("Traceback")
        assert 'int("seven")' in text and "DataError: a file holds no number" in text

    def test_ctrl_c(self, capsys):
        def press():
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(SystemExit) as e:
            launch(press)
        assert e.value.code == 130 and capsys.readouterr().err == "interrupted\n"

    def test_a_bug_in_segsuite(self):
        text, status = self.error(lambda: Registry("X").get(["a list is no name"]))
        assert status == 1 and "TypeError" in text

    def test_launch_in_this_process_exits_with_the_status(self, capsys):
        with pytest.raises(SystemExit) as e:
            launch(META_ARCH_REGISTRY.get, args=("Nothing",))
        assert e.value.code == 2
        assert "Nothing" in capsys.readouterr().err

    def test_launch_returns_when_all_is_well(self):
        seen = []
        launch(seen.append, args=(1,))
        assert seen == [1]
