from __future__ import annotations

import argparse
import shutil

import pytest
import torch
import yaml

from segsuite.config import load_config
from segsuite.engine import default_argument_parser, default_setup
from segsuite.errors import FileAccessError
from segsuite.utils import comm

from .tiny import tiny_config


@pytest.fixture(scope="module")
def config():
    return tiny_config()


@pytest.fixture
def setup(config, tmp_path):
    """`default_setup` of the tiny run with some overrides; returns the configuration."""

    def run(*opts, output="output", resume=False, eval_only=False):
        cfg = load_config(config, ["OUTPUT_DIR", str(tmp_path / output), *opts])
        default_setup(cfg, argparse.Namespace(resume=resume, eval_only=eval_only))
        return cfg

    return run


class TestArguments:
    def test_overrides_follow_the_options(self):
        args = default_argument_parser().parse_args(
            ["--config-file", "a.yaml", "--resume", "--num-gpus", "2", "--plugin", "p", "A.B", "1"]
        )
        assert args.config_file == "a.yaml" and args.resume and not args.eval_only
        assert args.num_gpus == 2 and args.plugin == ["p"] and args.opts == ["A.B", "1"]


class TestSetup:
    def test_config_is_frozen_and_written_whole(self, setup, tmp_path):
        cfg = setup("SOLVER.BASE_LR", 0.5)
        assert cfg.is_frozen()
        written = yaml.safe_load((tmp_path / "output" / "config.yaml").read_text())
        assert written == yaml.safe_load(cfg.dump())
        assert written["SOLVER"]["BASE_LR"] == 0.5 and "GAMMA" in written["SOLVER"]
        assert "SOLVER" in (tmp_path / "output" / "log.txt").read_text()

    def test_the_written_config_runs_again_as_it_is(self, setup, tmp_path):
        cfg = setup()
        again = load_config(tmp_path / "output" / "config.yaml")
        assert again == cfg
        default_setup(again, argparse.Namespace(resume=False, eval_only=False))
        assert again == cfg

    def test_the_seed_governs_the_generators(self, setup):
        draws = []
        for output in ("a", "b"):
            setup("SEED", 7, output=output)
            draws.append(torch.rand(3))
        assert torch.equal(*draws)

    def test_a_negative_seed_is_drawn_stored_and_kept_by_a_resumed_run(self, setup, tmp_path):
        cfg = setup("SEED", -1)
        assert cfg.SEED >= 0
        assert yaml.safe_load((tmp_path / "output" / "config.yaml").read_text())["SEED"] == cfg.SEED
        assert setup("SEED", -1, resume=True).SEED == cfg.SEED
        assert setup("SEED", -1, output="other").SEED != cfg.SEED

    def test_class_weights_are_computed_and_can_be_given(self, setup):
        balance = ("MODEL.SEM_SEG_HEAD.LOSS.CLASS_BALANCE", "inverse_sqrt")
        ground, box = setup(*balance).MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS
        assert box > ground > 0
        given = ("MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS", (1.0, 3.0))
        cfg = setup(*balance, *given, output="other")
        assert cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS == (1.0, 3.0)

    def test_evaluation_needs_no_training_data_and_leaves_the_run_alone(self, setup, tmp_path):
        (tmp_path / "output").mkdir()
        (tmp_path / "output" / "model_final.pth").touch()
        setup("DATASETS.TRAIN", ("not_here",), eval_only=True)
        assert not (tmp_path / "output" / "config.yaml").exists()


class TestBadInput:
    @pytest.mark.parametrize(
        ("opts", "error", "message"),
        [
            (["DATASETS.TRAIN", ("tiny_trian",)], KeyError, "tiny_trian.*Did you mean 'tiny_train"),
            (["MODEL.SEM_SEG_HEAD.NUM_CLASSES", 3], ValueError, "tiny_train.*2 classes"),
            (
                ["SOLVER.IMS_PER_BATCH", 4, "SOLVER.ACCUMULATE_STEPS", 3],
                ValueError,
                "IMS_PER_BATCH is 4.*multiple of 3",
            ),
            (["SOLVER.IMS_PER_BATCH", 0], ValueError, "IMS_PER_BATCH is 0"),
            (["SOLVER.CHECKPOINT_PERIOD", 0], ValueError, "PERIOD is 0; it must be at least 1"),
            (["DATALOADER.NUM_WORKERS", -1], ValueError, "WORKERS is -1; it must be at least 0"),
        ],
    )
    def test_is_told_before_training(self, setup, opts, error, message):
        with pytest.raises(error, match=message):
            setup(*opts)

    def test_batch_smaller_than_the_process_count(self, setup, monkeypatch):
        monkeypatch.setattr(comm, "get_world_size", lambda: 8)
        monkeypatch.setattr(comm, "synchronize", lambda: None)
        monkeypatch.setattr(comm, "broadcast_object", lambda obj: obj)
        with pytest.raises(ValueError, match=r"IMS_PER_BATCH is 4, with 8 process\(es\).*of 8"):
            setup()

    def test_a_label_outside_the_classes_names_the_file(self, config, setup, tmp_path):
        from PIL import Image

        shutil.copytree(config.parent / "train", tmp_path / "train")
        label = tmp_path / "train" / "labels" / "03.png"
        image = Image.open(label)
        image.putpixel((0, 0), 77)
        image.save(label)
        entry = {"IMAGES": str(tmp_path / "train" / "images"), "CLASSES": ["ground", "box"]}
        entry["LABELS"] = str(tmp_path / "train" / "labels")
        bad = tmp_path / "bad.yaml"
        content = {"_BASE_": str(config), "DATASETS": {"REGISTER": {"bad": entry}}}
        bad.write_text(yaml.safe_dump(content))
        cfg = load_config(bad, ["DATASETS.TRAIN", ("bad",), "OUTPUT_DIR", str(tmp_path / "out")])
        with pytest.raises(ValueError, match=r"03\.png.*77"):
            default_setup(cfg, argparse.Namespace(resume=False, eval_only=False))

    def test_a_folder_that_holds_a_run(self, setup, tmp_path):
        (tmp_path / "output").mkdir()
        (tmp_path / "output" / "model_0000100.pth").touch()
        with pytest.raises(FileAccessError, match="--resume"):
            setup()
