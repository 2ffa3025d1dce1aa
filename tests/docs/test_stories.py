"""Pages that a newcomer follows from top to bottom: their commands are run, one after the other."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import REPO
from tests.processes import run_python

from .pages import read_blocks
from .play import play
from .process import output_of
from .shell import Command


@pytest.fixture
def folder(tmp_path, monkeypatch, shapes_root):
    """A folder with the generated shapes and an environment, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGSUITE_DATASETS", "datasets")
    (tmp_path / "datasets").symlink_to(shapes_root)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    return tmp_path


def runner(folder: Path, quicker: Mapping[str, str] | None = None) -> Callable[[Command], str]:
    """Runs Python commands, with some arguments replaced by quicker ones, and passes over others
    (which install what is there)."""

    def run(command: Command) -> str:
        if command.arguments[:2] == ("-m", "venv"):
            return ""
        words = {"python": [], "segsuite": ["-m", "segsuite"]}.get(command.program)
        if words is None:
            return ""
        arguments = [*words, *((quicker or {}).get(a, a) for a in command.arguments)]
        return output_of(arguments, folder, {"SEGSUITE_DATASETS": "datasets"})

    return run


def with_short_demo(run: Callable[[Command], str]) -> Callable[[Command], str]:
    """As `run`, but ``segsuite demo`` has two iterations."""
    quick = ("SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "2", "TEST.EXAMPLES", "1")

    def run_shortened(command: Command) -> str:
        if command.arguments == ("demo",):
            command = replace(command, arguments=(*command.arguments, *quick))
        return run(command)

    return run_shortened


def test_readme(folder):
    """All that needs no CamVid."""
    run = with_short_demo(runner(folder))

    def run_some(command: Command) -> str:
        needs_camvid = any("camvid" in word for word in command.arguments)
        return "" if needs_camvid else run(command)

    printed = play("README.md", folder, run=run_some)
    assert "own/semantic" in printed["segsuite recipes own"]
    assert (folder / "output" / "predictions" / "labels" / "0000.png").exists()
    assert "LABELS: data/train/labels" in (folder / "my.yaml").read_text()


def test_getting_started(folder):
    run = with_short_demo(runner(folder, {"480": "4", "600": "6"}))
    printed = play("docs/getting_started.md", folder, run=run)
    demo = folder / "output" / "demo"
    listed = re.findall(r"`([\w/.]+)`", _table("docs/getting_started.md"))
    assert len(listed) == 9
    for name in listed:
        assert (demo / name.replace("0000240", "0000002")).exists(), name
    assert (folder / "output" / "predictions" / "first.jpg").exists()
    assert (folder / "output" / "predictions" / "0003.jpg").exists()
    assert (folder / "output" / "comparison.html").exists()
    assert (folder / "output" / "data" / "data.jpg").exists()
    (compared,) = (text for command, text in printed.items() if "segsuite compare" in command)
    assert "shapes_val: 60 images" in compared
    log = (folder / "output" / "longer" / "log.txt").read_text()
    assert "at iteration 4" in log


def _table(page: str) -> str:
    """The first cells of the table on a page."""
    rows = [line for line in (REPO / page).read_text().splitlines() if line.startswith("| `")]
    return "\n".join(row.split("|")[1] for row in rows)


def test_coming_from(folder):
    printed = play("docs/coming_from.md", folder, run=runner(folder))
    (converted,) = (text for command, text in printed.items() if "convert" in command)
    assert "torchvision Lite R-ASPP: 319 names converted" in converted


def test_own_dataset(folder):
    run = runner(folder)

    def run_shortened(command: Command) -> str:
        if command.arguments[0] == "train":
            steps = ("SOLVER.MAX_ITER", "2", "DATALOADER.NUM_WORKERS", "0", "TEST.EXAMPLES", "1")
            command = replace(command, arguments=(*command.arguments, *steps))
        return run(command)

    printed = play("docs/own_dataset.md", folder, run=run_shortened)
    checks = [text for command, text in printed.items() if command.startswith("segsuite check")]
    assert len(checks) == 4 and all("0 errors" in text for text in checks)
    assert "my_train: 12 images" in checks[0] and "foreground" in checks[1]
    label_maps, coco = (text for command, text in printed.items() if " train " in command)
    assert "mIoU" in label_maps and "crop" in label_maps and "AP50" in coco
    for file in ("fed/data.jpg", "predicted/labels/0.png", "fields/report.html"):
        assert (folder / "output" / file).exists(), file
    for file in ("fields_coco.json", "predicted_coco/coco_instances_results.json"):
        assert (folder / "output" / file).exists(), file


def test_extending(folder):
    """The package of the page, installed by pip, trains in a process that knows of nothing else,
    goes on after it was stopped as if it had not been, and is evaluated."""
    site, output = folder / "site", folder / "output"
    # The backbone is held for 4 of 6 iterations.
    training = ["SOLVER.MAX_ITER", "6", "MINE.HOLD_BACKBONE", "4", "SOLVER.CHECKPOINT_PERIOD", "2"]
    training += ["SOLVER.CHECKPOINTS_TO_KEEP", "3", "SOLVER.WARMUP_ITERS", "1", "LOG.PERIOD", "1"]

    def run(command: Command) -> str:
        if command.program == "pip":
            options = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
            options += ["--target", str(site)]
            return execute(["-m", "pip", *command.arguments, *options])
        arguments = ["-m", "segsuite", *command.arguments, *training]
        arguments += ["DATALOADER.NUM_WORKERS", "0"]
        if "PYTHONPATH" in command.environment:
            arguments += ["OUTPUT_DIR", "output/module"]
            return output_of(arguments, folder, command.environment)
        return execute(arguments)

    def execute(arguments: list[str]) -> str:
        environment = {"PYTHONPATH": f"{site}{os.pathsep}{REPO}"}
        done = run_python(*arguments, folder=folder, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    environment = {"PYTHONPATH": str(site)}
    play("docs/extending.md", folder, run=run, check=False, environment=environment)
    for run_dir in ("grouped", "module"):
        _assert_all_ten_acted(output / run_dir)

    # As if it had been killed after the fourth iteration's checkpoint.
    shutil.copytree(output / "grouped", output / "stopped")
    for name in ("model_0000006.pth", "model_final.pth", "model_best.pth"):
        (output / "stopped" / name).unlink()
    command = ["-m", "segsuite", "train", "--config-file", "grouped.yaml"]
    execute([*command, "--resume", *training, "OUTPUT_DIR", "output/stopped"])
    whole, resumed = (_load(output / d / "model_0000006.pth") for d in ("grouped", "stopped"))
    assert whole["model"].keys() == resumed["model"].keys()
    for name, tensor in whole["model"].items():
        assert torch.equal(tensor, resumed["model"][name]), name
    assert _last_figures(output / "grouped") == _last_figures(output / "stopped")

    before = _last_figures(output / "grouped")
    printed = execute([*command, "--eval-only", "OUTPUT_DIR", "output/grouped"])
    assert "worst_images" in printed and f"{before['worst_images/pACC']:.2f}" in printed


def _load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def _last_figures(run: Path) -> dict[str, float]:
    """All that does not depend on how fast the machine is."""
    figures = json.loads((run / "metrics.json").read_text().splitlines()[-1])
    return {k: v for k, v in figures.items() if "time" not in k and "seconds" not in k}


def _assert_all_ten_acted(run: Path) -> None:
    first, held, last = (_load(run / f"model_{i:07d}.pth") for i in (2, 4, 6))
    optimizer = last["optimizer"]
    first, held, last = (state["model"] for state in (first, held, last))
    backbone, head = "backbone.convs.0.weight", "sem_seg_head.predictor.weight"
    assert first[backbone].shape == (16, 3, 3, 3) and first[head].shape == (3, 64, 1, 1)
    assert "sem_seg_head.predictor.bias" not in first  # MINE.BIAS
    figures = _last_figures(run)
    assert figures["loss_sem_seg_brier"] > 0 and "loss_sem_seg_cross_entropy" in figures
    assert {"sem_seg/IoU-round", "sem_seg/IoU-cornered"} < figures.keys()
    assert 0 <= figures["worst_images/pACC"] <= figures["sem_seg/pACC"]
    assert (run / "evaluation" / "grouped_val").is_dir()
    assert torch.equal(first[backbone], held[backbone]) and figures["backbone_held"] == 0
    assert not torch.equal(held[backbone], last[backbone])
    assert not torch.equal(first[head], held[head])
    assert all(group["betas"] == [0.9, 0.95] for group in optimizer["param_groups"])
    assert all(state.keys() == {"momentum"} for state in optimizer["state"].values())
    # A straight line, and the last step is one of its sixth.
    assert figures["lr"] == pytest.approx(0.003 / 6)


def test_samples_of_the_extending_page(folder):
    """What augmentation and sampler of the page do to the training stream."""
    for block in read_blocks("docs/extending.md"):
        if block.filename:
            path = folder / block.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    printed = output_of(["-c", _SAMPLES], folder, {"PYTHONPATH": str(folder / "my-segmentation")})
    assert printed.splitlines() == ["True", "True", "True", "True"]


_SAMPLES = """
import itertools
from segsuite.config import load_config
from segsuite.data import build_train_loader

def ids_and_images(*options, start_iter=0):
    cfg = load_config("grouped.yaml", ["DATALOADER.NUM_WORKERS", 0, *options], ["my_segmentation"])
    batches = itertools.islice(build_train_loader(cfg, start_iter=start_iter), 12)
    samples = list(itertools.chain(*batches))
    return [[s[key] for s in samples] for key in ("image_id", "image", "sem_seg")]

ids, images, labels = ids_and_images()
print(len(set(ids)) < len(ids))  # with replacement, some came twice
print(ids_and_images(start_iter=5)[0][:8] == ids[40:48])
plain, clear, _ = ids_and_images("INPUT.AUGMENTATIONS", "['default']")
brighter = [hazy.float().mean() > image.float().mean() for hazy, image in zip(images, clear)]
print(plain == ids and int(sum(brighter)) > 60)
print(any((l == 255).any() for l in labels))  # the corners that a rotation leaves
"""
