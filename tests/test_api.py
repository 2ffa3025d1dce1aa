"""What `import segsuite` offers, from a training to its pictures, several times in a process."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest
import torch

import segsuite
from segsuite.config import load_config
from segsuite.errors import FileAccessError, MissingFileError, UserError, WeightsError
from segsuite.models import ModelInfo
from tests.helpers import REPO
from tests.processes import python_command

SHORT = {
    "SOLVER.MAX_ITER": 2,
    "SOLVER.IMS_PER_BATCH": 2,
    "DATALOADER.NUM_WORKERS": 0,
    "TEST.EXAMPLES": 0,
    "TEST.REPORT": False,
}
RECIPE = "smoke/unet_shapes"


@pytest.fixture
def overrides(datasets_root, tmp_path):
    return {**SHORT, "OUTPUT_DIR": str(tmp_path / "run")}


@pytest.fixture(scope="module")
def folder(shapes_root, tmp_path_factory):
    """The folder of a run of two steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGSUITE_DATASETS", str(shapes_root))
        output = tmp_path_factory.mktemp("api") / "run"
        segsuite.train(RECIPE, {**SHORT, "OUTPUT_DIR": str(output)})
    return output


def test_everything_is_there_and_nothing_is_imported():
    program = """
import sys, segsuite
assert set(segsuite.__all__) <= set(dir(segsuite))
assert not {"torch", "numpy", "PIL"} & set(sys.modules)
for name in segsuite.__all__:
    getattr(segsuite, name)
"""
    subprocess.run(python_command("-c", program), cwd=REPO, check=True)


def test_models_are_listed():
    models = segsuite.list_models()
    assert {"unet", "deeplabv3plus", "segformer", "mask_rcnn"} <= models.keys()
    for name, model in models.items():
        assert isinstance(model, ModelInfo) and model.name == name
        assert "https://arxiv.org/abs/" in model.paper and model.summary in str(model)


def test_from_a_training_to_a_picture(folder, datasets_root, tmp_path):
    run = segsuite.Run(folder)
    results = segsuite.evaluate(folder, overrides={"TEST.REPORT": False, "TEST.EXAMPLES": 0})
    assert results == run.evaluations["shapes_val"].results
    image = sorted((datasets_root / "shapes_v1" / "images" / "val").glob("*.png"))[0]
    prediction = segsuite.Predictor(folder, ["MODEL.DEVICE", "cpu"])(image)
    assert prediction.draw().shape[2] == 3


def test_load_gives_what_was_trained(folder, datasets_root):
    image = torch.randint(0, 256, (1, 3, 50, 71), dtype=torch.uint8)
    net = segsuite.load(folder)
    assert not net.training and not any(m.training for m in net.modules())
    logits = net(net.normalize(image))
    assert logits.shape == (1, 6, 50, 71)
    weights = folder / "model_final.pth"
    for other in (
        segsuite.load(segsuite.Run(folder)),
        segsuite.load(weights),
        segsuite.load(RECIPE, weights),
        segsuite.load(folder / "config.yaml", overrides={"OUTPUT_DIR": str(folder)}),
        segsuite.load(RECIPE, overrides=["OUTPUT_DIR", folder]),
    ):
        assert torch.equal(other(other.normalize(image)), logits)
    new = segsuite.create_model("unet", num_classes=6)
    assert type(new) is type(net)


def test_trainings_follow_one_another_and_are_resumed(overrides, tmp_path):
    first = segsuite.train(RECIPE, overrides)
    pairs = [word for pair in overrides.items() for word in pair]
    second = segsuite.train(load_config(RECIPE, pairs), ["OUTPUT_DIR", str(tmp_path / "second")])
    assert first.curve("total_loss") == second.curve("total_loss")
    first_log = (tmp_path / "run" / "log.txt").read_text()
    assert str(tmp_path / "second") not in first_log

    resumed = segsuite.train(first, {"SOLVER.MAX_ITER": 3}, resume=True)
    assert isinstance(resumed, segsuite.Run) and resumed.config.SOLVER.MAX_ITER == 3
    assert [start["iteration"] for start in resumed.info["starts"]] == [0, 2]


def test_other_data_under_the_same_name(overrides, datasets_root, tmp_path):
    """As in a notebook whose cells are run again after a change."""
    root = datasets_root / "shapes_v1"
    entry = {"IMAGES": str(root / "images/val"), "LABELS": str(root / "labels/val")}
    for number, last in enumerate(("cross", "plus")):
        classes = ["background", "circle", "square", "triangle", "star", last]
        register = {"mine": {"FORMAT": "sem_seg_folder", "CLASSES": classes, **entry}}
        run = segsuite.train(
            RECIPE,
            {
                **overrides,
                "OUTPUT_DIR": str(tmp_path / str(number)),
                "DATASETS.REGISTER": register,
                "DATASETS.TRAIN": ("mine",),
                "DATASETS.TEST": (),
            },
        )
        assert run.classes["stuff"] == classes


def test_the_log_and_the_folder_are_free_afterwards(overrides):
    logger = logging.getLogger("segsuite")
    mine = logging.NullHandler()
    logger.addHandler(mine)
    before = (logger.level, logger.propagate, list(logger.handlers))
    run = segsuite.train(RECIPE, overrides)
    assert (logger.level, logger.propagate, logger.handlers) == before
    # Another process can go on.
    program = f"""
from segsuite.runs.output_dir import claim_output_dir
claim_output_dir({str(run.folder)!r}, resume=True)
"""
    subprocess.run(python_command("-c", program), cwd=REPO, check=True)


def test_an_error_leaves_its_traceback_in_the_log_and_nothing_else(overrides, registered, tmp_path):
    from segsuite.engine import HOOK_REGISTRY, HookBase

    class Fails(HookBase):
        def __init__(self, cfg):
            pass

        def after_step(self):
            raise ZeroDivisionError("mine")

    registered(HOOK_REGISTRY)(Fails)
    logger = logging.getLogger("segsuite")
    before = list(logger.handlers)
    with pytest.raises(ZeroDivisionError):
        segsuite.train(RECIPE, {**overrides, "HOOKS": ("Fails",)})
    assert logger.handlers == before
    assert "ZeroDivisionError: mine" in (tmp_path / "run" / "log.txt").read_text()
    with pytest.raises(UserError):
        segsuite.train(RECIPE, {**overrides, "OUTPUT_DIR": str(tmp_path / "new"), "SEED": "x"})
    assert not (tmp_path / "new").exists()


def test_evaluation_on_another_data_set(folder, datasets_root):
    quick = {"TEST.REPORT": False, "TEST.EXAMPLES": 0}
    alone = segsuite.evaluate(folder, dataset="shapes_val", overrides=quick)
    both = segsuite.evaluate(folder, dataset=["shapes_val", "shapes_train"], overrides=quick)
    assert both["shapes_val"] == alone and both["shapes_train"] != alone
    content = folder / "evaluation" / "shapes_train" / "sem_seg_evaluation.json"
    assert json.loads(content.read_text())["results"] == both["shapes_train"]["sem_seg"]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda run: segsuite.train("smoke/unet_shape"), MissingFileError, "smoke/unet_shapes"),
        (lambda run: segsuite.train(run), FileAccessError, "holds a run already"),
        (lambda run: segsuite.load("nowhere"), MissingFileError, "no configuration file nowhere"),
        (lambda run: segsuite.load("nowhere.pth"), MissingFileError, "no checkpoint 'nowhere.pth'"),
        (lambda run: segsuite.load(RECIPE), MissingFileError, "nothing to evaluate"),
        (lambda run: segsuite.load(run.parent), MissingFileError, "is no run"),
        (lambda run: segsuite.evaluate(run, dataset="shapes_vol"), KeyError, "shapes_val"),
    ],
)
def test_what_is_refused(call, error, message, folder, datasets_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        call(folder)


def test_a_checkpoint_that_does_not_say_what_it_is(tmp_path):
    torch.save({"model": {"x": torch.zeros(1)}}, tmp_path / "bare.pth")
    with pytest.raises(WeightsError, match=r"segsuite\.load\('my\.yaml', weights="):
        segsuite.load(tmp_path / "bare.pth")


@pytest.mark.slow
def test_the_notebook(tmp_path):
    """Its code cells, one after the other in a process of its own, in an empty folder."""
    path = REPO / "docs" / "notebooks" / "first_steps.ipynb"
    cells = json.loads(path.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    assert 6 <= len(code) <= 12
    program = "\n".join(code)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "output" / "discs" / "model_final.pth").exists()
