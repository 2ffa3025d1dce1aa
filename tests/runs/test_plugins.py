"""Runs that were made with plug-ins, opened where these are and where they are not."""

from __future__ import annotations

import json
import os
import shutil
import textwrap

import pytest

import segsuite
from segsuite.errors import MissingPackageError, UserError
from segsuite.runs import Run
from segsuite.runs.plugins import missing_plugins, naming_missing_plugins
from tests.engine.tiny import tiny_config
from tests.finished_runs import tiny_images, tiny_run
from tests.helpers import REPO
from tests.processes import run_python

BACKBONE = """
    from segsuite.config import CfgNode
    from segsuite.modeling.backbone import BACKBONE_REGISTRY
    from segsuite.modeling.backbone.unet import build_unet_backbone

    @BACKBONE_REGISTRY.register()
    def build_{name}(cfg, input_shape):
        return build_unet_backbone(cfg, input_shape)

    def add_config(cfg):
        cfg.MODEL.{section} = CfgNode({{"WIDTH": 3}})
"""


def train(output, path, *options):
    command = ["-m", "segsuite", "train", "--config-file", tiny_config(), *options]
    options = ("DATALOADER.NUM_WORKERS", 0, "SOLVER.MAX_ITER", 2, "OUTPUT_DIR", output)
    paths = os.pathsep.join(map(str, [path, REPO]))
    done = run_python(*command, *options, environment={"PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    return Run(output)


@pytest.fixture(scope="module")
def module_run(tmp_path_factory):
    """A run with a module that is found by PYTHONPATH alone."""
    folder = tmp_path_factory.mktemp("modules")
    source = textwrap.dedent(BACKBONE.format(name="of_module", section="OF_MODULE"))
    (folder / "plugin_of_a_run.py").write_text(source)
    options = ("--plugin", "plugin_of_a_run", "MODEL.BACKBONE.NAME", "build_of_module")
    return train(tmp_path_factory.mktemp("run") / "out", folder, *options), folder


@pytest.fixture(scope="module")
def package_run(tmp_path_factory):
    """A run with a package that is installed and names its plug-in by an entry point."""
    folder = tmp_path_factory.mktemp("site")
    source = textwrap.dedent(BACKBONE.format(name="of_package", section="OF_PACKAGE"))
    (folder / "other_segmenter.py").write_text(source)
    info = folder / "other_segmenter-1.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-segmenter\nVersion: 1.4\n")
    (info / "top_level.txt").write_text("other_segmenter\n")
    (info / "entry_points.txt").write_text("[segsuite.plugins]\nother = other_segmenter\n")
    options = ("MODEL.BACKBONE.NAME", "build_of_package")
    return train(tmp_path_factory.mktemp("run") / "out", folder, *options), folder


class TestModule:
    def test_it_is_noted_with_its_file(self, module_run):
        run, folder = module_run
        (plugin,) = run.info["starts"][-1]["plugins"]
        assert plugin == {
            "module": "plugin_of_a_run",
            "file": str(folder / "plugin_of_a_run.py"),
        }

    def test_what_needs_no_plugin_is_read_without(self, module_run):
        run, _ = module_run
        assert run.config.MODEL.OF_MODULE.WIDTH == 3
        assert run.classes["stuff"] and run.metrics and run.evaluations

    def test_opened_without_it_the_message_says_where_it_was(self, module_run):
        run, folder = module_run
        expected = rf"missing here.*'plugin_of_a_run'.*put {folder} on PYTHONPATH"
        for open_it in (
            run.load_config,
            lambda: run.load_config(allow_plugins=True),
            lambda: segsuite.Predictor(run.folder, allow_plugins=True),
        ):
            with pytest.raises(MissingPackageError, match=f"(?s){expected}"):
                open_it()

    @pytest.mark.parametrize(
        "way",
        [
            "segsuite.Predictor(run, allow_plugins=True)",
            "segsuite.Run(run).load_config(plugins=['plugin_of_a_run'])",
            "segsuite.Run(run).load_config(['PLUGINS', 'plugin_of_a_run'])",
            "import plugin_of_a_run; segsuite.Predictor(run)",
        ],
    )
    def test_opened_with_it_and_asked_for_there_is_nothing_to_tell(self, module_run, way):
        run, folder = module_run
        code = (
            "import segsuite, sys; from segsuite.runs.plugins import missing_plugins; "
            f"run = sys.argv[1]; assert not missing_plugins(run); {way}; "
            "assert 'plugin_of_a_run' in sys.modules"
        )
        paths = os.pathsep.join(map(str, [folder, REPO]))
        done = run_python("-c", code, run.folder, environment={"PYTHONPATH": paths})
        assert done.returncode == 0, done.stderr


class TestSomebodyElsesRun:
    """A folder that was downloaded runs no code, whatever it names and whoever opens it."""

    @pytest.fixture
    def trap(self, tmp_path):
        """A run that names a module which can be found here, and what its code would leave."""
        run = shutil.copytree(tiny_run(), tmp_path / "run")
        (tmp_path / "trap").mkdir()
        source = f"open({str(tmp_path / 'sprung')!r}, 'w')"
        (tmp_path / "trap" / "__init__.py").write_text(source)
        (tmp_path / "trap" / "inner.py").write_text("")
        return run

    def open_it(self, run, *command):
        paths = os.pathsep.join(map(str, [run.parent, REPO]))
        return run_python(*command, environment={"PYTHONPATH": paths})

    @pytest.mark.parametrize(
        "command",
        [
            ["predict", "--input", "a.png", "--output", "OUT", "--run-dir"],
            ["serve", "--port", "0", "--run-dir"],
            ["eval", "--run-dir"],
            ["train", "--resume", "--run-dir"],
            ["report"],
        ],
        ids=lambda command: command[0],
    )
    def test_no_command_imports_what_it_names(self, trap, command):
        text = (trap / "config.yaml").read_text().replace("PLUGINS: []", "PLUGINS: [trap.inner]")
        assert "trap.inner" in text
        (trap / "config.yaml").write_text(text)
        (trap.parent / "a.png").write_bytes(tiny_images()[0].read_bytes())
        command = [str(trap.parent / w) if w in ("a.png", "OUT") else w for w in command]
        done = self.open_it(trap, "-m", "segsuite", *command, trap)
        assert not (trap.parent / "sprung").exists()
        if command[0] == "report":
            assert done.returncode == 0, done.stderr
        else:
            assert done.returncode == 2, done.stderr
            assert "--plugin trap.inner (in Python: allow_plugins=True)" in done.stderr

    def test_nor_does_the_search_for_what_is_missing(self, trap):
        info = json.loads((trap / "run_info.json").read_text())
        info["starts"][-1]["plugins"] = [{"module": "trap.inner"}, {"module": "trap.other"}]
        (trap / "run_info.json").write_text(json.dumps(info))
        code = (
            "import sys; from segsuite.runs.plugins import missing_plugins; "
            "print(missing_plugins(sys.argv[1]))"
        )
        done = self.open_it(trap, "-c", code, trap)
        assert done.stdout.strip() == "[{'module': 'trap.other'}]", done.stderr
        assert not (trap.parent / "sprung").exists()

    def test_a_file_that_is_named_is_ones_own(self, trap):
        file = trap.parent / "own.yaml"
        file.write_text("PLUGINS: [trap.inner]\n")
        code = "import sys; from segsuite.config import load_config; load_config(sys.argv[1])"
        done = self.open_it(trap, "-c", code, file)
        assert done.returncode == 0 and (trap.parent / "sprung").exists(), done.stderr


class TestPackage:
    def test_it_is_noted_with_its_version(self, package_run):
        (plugin,) = package_run[0].info["starts"][-1]["plugins"]
        assert plugin == {
            "module": "other_segmenter",
            "entry_point": "other",
            "distribution": "other-segmenter",
            "version": "1.4",
        }

    def test_an_unknown_key_becomes_what_to_install(self, package_run):
        message = "(?s)'other_segmenter'.*pip install other-segmenter==1.4.*unknown key"
        with pytest.raises(MissingPackageError, match=message):
            package_run[0].load_config()

    def test_evaluating_by_the_program_says_so(self, package_run):
        run, _ = package_run
        arguments = ("--config-file", run.files.config, "--eval-only")
        done = run_python("-m", "segsuite", "train", *arguments)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "pip install other-segmenter==1.4" in done.stderr


def test_other_errors_are_left_alone(module_run, tmp_path):
    run, _ = module_run
    with pytest.raises(ZeroDivisionError), naming_missing_plugins(run.folder):
        raise ZeroDivisionError
    assert missing_plugins(tmp_path) == []
    with pytest.raises(KeyError, match="plain"), naming_missing_plugins(tmp_path):
        raise KeyError("plain")
    with pytest.raises(UserError, match=r"unknown key SOLVER\.LRR"):
        Run(tiny_run()).load_config(["SOLVER.LRR", 1])
