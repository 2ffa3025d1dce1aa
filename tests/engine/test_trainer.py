from __future__ import annotations

import pytest
import torch
import yaml

from segsuite.config import load_config
from segsuite.data import DatasetCatalog, build_detection_train_loader
from segsuite.engine import DefaultTrainer
from segsuite.utils.events import get_event_storage

from .tiny import lines, load, run, same_tensors, tiny_config


@pytest.fixture(scope="module")
def config():
    return tiny_config()


@pytest.fixture
def train(config, tmp_path):
    def train(*opts, output="output", resume=False):
        base = ["OUTPUT_DIR", str(tmp_path / output), "DATALOADER.NUM_WORKERS", 0]
        return run(config, [*base, "SOLVER.MAX_ITER", 6, *opts], resume=resume)

    return train


def make_cfg(config, tmp_path, *opts):
    return load_config(config, ["OUTPUT_DIR", str(tmp_path), "DATALOADER.NUM_WORKERS", 0, *opts])


def accelerated_modules(model):
    return {
        name: vars(module)["forward"]
        for name, module in model.named_modules()
        if "forward" in vars(module)
    }


class TestOutcome:
    def test_files_and_results(self, train, tmp_path):
        trainer = train("SOLVER.EMA.ENABLED", False)
        output = tmp_path / "output"
        final = load(output / "model_final.pth")
        assert same_tensors(final["model"], trainer.model.state_dict())
        assert yaml.safe_load(final["config"])["SOLVER"]["MAX_ITER"] == 6
        assert [line["iteration"] for line in lines(output)] == [2, 5]
        evaluated = trainer.evaluate()["sem_seg"]["mIoU"]
        assert lines(output)[-1]["sem_seg/mIoU"] == pytest.approx(evaluated)
        assert (output / "model_best.pth").exists()

    def test_averaged_weights_are_evaluated_and_saved_as_the_model(self, config, train, tmp_path):
        trainer = train()
        final = load(tmp_path / "output" / "model_final.pth")["model"]
        assert not same_tensors(final, trainer.model.state_dict())
        with trainer.evaluation_weights():
            assert same_tensors(final, trainer.model.state_dict())
        results = DefaultTrainer.test_weights(make_cfg(config, tmp_path / "output"))
        expected = lines(tmp_path / "output")[-1]
        for name in ("mIoU", "pACC"):
            assert results["sem_seg"][name] == pytest.approx(expected[f"sem_seg/{name}"])

    def test_the_model_is_accelerated_and_stays_so_through_evaluations(self, train):
        trainer = train("SOLVER.EMA.ENABLED", False)
        before = accelerated_modules(trainer.model)
        names = list(trainer.model.state_dict())
        trainer.evaluate()
        assert before
        assert accelerated_modules(trainer.model) == before
        assert list(trainer.model.state_dict()) == names

    def test_training_without_test_data(self, train, tmp_path):
        train("DATASETS.TEST", ())
        assert (tmp_path / "output" / "model_final.pth").exists()
        assert not (tmp_path / "output" / "model_best.pth").exists()

    def test_results_of_several_test_sets_are_told_apart(self, train, tmp_path):
        train("DATASETS.TEST", ("tiny_val", "tiny_train"))
        results = lines(tmp_path / "output")[-1]
        assert {"tiny_val/sem_seg/mIoU", "tiny_train/sem_seg/mIoU"} <= results.keys()


class TestOptions:
    @pytest.mark.parametrize(
        "opts",
        [
            ["SOLVER.AMP.ENABLED", True],
            ["TEST.AMP.ENABLED", True],
            ["SOLVER.ACCUMULATE_STEPS", 2],
            ["SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm"],
            ["SOLVER.OPTIMIZER", "ADAMW", "SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR"],
            ["MODEL.CHANNELS_LAST", False],
            ["TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 2],
            ["PROFILER.ENABLED", True, "PROFILER.START", 2, "PROFILER.STEPS", 2],
            ["TEST.EARLY_STOPPING_PATIENCE", 3],
        ],
        ids=lambda opts: opts[0],
    )
    def test_trains(self, train, opts):
        trainer = train(*opts, "SOLVER.MAX_ITER", 4)
        assert trainer.iter == 4
        assert all(p.isfinite().all() for p in trainer.model.parameters())

    def test_precise_statistics_are_those_of_the_evaluated_weights(self, train):
        plain = train(output="plain")
        precise = train("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 3)
        own = {k: v.clone() for k, v in precise.model.state_dict().items()}
        assert same_tensors(own, plain.model.state_dict())
        with precise.evaluation_weights():
            evaluated = precise.model.state_dict()
            changed = [k for k in own if not torch.equal(evaluated[k], own[k])]
        assert any("running_mean" in name for name in changed)

    def test_precise_statistics_do_not_read_the_data_set_at_every_evaluation(
        self, train, monkeypatch
    ):
        def reads(period, output):
            names = []
            read = type(DatasetCatalog).open

            def counted(catalog, name):
                names.append(name)
                return read(catalog, name)

            with monkeypatch.context() as patch:
                patch.setattr(type(DatasetCatalog), "open", counted)
                options = ["TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 1]
                train(*options, "TEST.EVAL_PERIOD", period, output=output)
            return names.count("tiny_train")

        assert reads(1, "often") == reads(6, "once") > 0

    def test_early_stopping(self, train):
        opts = ["TEST.EVAL_PERIOD", 1, "TEST.EARLY_STOPPING_PATIENCE", 2, "SOLVER.BASE_LR", 1e-9]
        assert train(*opts, "SOLVER.MAX_ITER", 20).iter == 3

    @pytest.mark.slow
    def test_compiled(self, train):
        assert train("MODEL.COMPILE", True, "SOLVER.MAX_ITER", 2).iter == 2


class TestBadInput:
    @pytest.mark.parametrize(
        ("opts", "message"),
        [
            (["SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "float16"], "float16 needs a GPU"),
            (["SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "bfloat"], "mean 'bfloat16'"),
            (["TEST.AMP.ENABLED", True, "TEST.AMP.DTYPE", "half"], "types of TEST.AMP.DTYPE"),
            (["SOLVER.CHECKPOINTS_TO_KEEP", 0], "CHECKPOINTS_TO_KEEP"),
        ],
    )
    def test_values(self, config, tmp_path, opts, message):
        with pytest.raises(ValueError, match=message):
            DefaultTrainer(make_cfg(config, tmp_path, *opts))

    def test_a_checkpoint_of_other_shapes_is_shown_as_a_table(self, train):
        train()
        with pytest.raises(ValueError, match=r"(?s)--resume.*\(4, 3, 3, 3\).*\(6, 3, 3, 3\)"):
            train("MODEL.UNET.CHANNELS", [6, 8], resume=True)

    def test_another_seed_on_resuming(self, train):
        train()
        with pytest.raises(ValueError, match=r"SEED is 5.*started with 0"):
            train("SEED", 5, resume=True)

    def test_changed_keys_are_told_on_resuming(self, train, tmp_path):
        train()
        train("SOLVER.MAX_ITER", 8, resume=True)
        assert "SOLVER.MAX_ITER 6 -> 8" in (tmp_path / "output" / "log.txt").read_text()

    def test_nothing_to_evaluate(self, config, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"MODEL\.WEIGHTS is empty"):
            DefaultTrainer.test_weights(make_cfg(config, tmp_path))

    def test_weights_that_lack_a_part_of_the_model(self, config, train, tmp_path):
        trainer = train()
        part = {k: v for k, v in trainer.model.state_dict().items() if "backbone" in k}
        path = tmp_path / "backbone.pth"
        torch.save(part, path)
        cfg = make_cfg(config, tmp_path / "empty", "MODEL.WEIGHTS", str(path))
        with pytest.raises(ValueError, match=r"backbone\.pth' lacks .*sem_seg_head"):
            DefaultTrainer.test_weights(cfg)


class TestOverridePoints:
    def test_each_part_can_be_replaced(self, config, tmp_path):
        called = []

        class Mine(DefaultTrainer):
            @classmethod
            def build_model(cls, cfg):
                called.append("model")
                return super().build_model(cfg)

            @classmethod
            def build_optimizer(cls, cfg, model):
                called.append("optimizer")
                return super().build_optimizer(cfg, model)

            @classmethod
            def build_train_loader(cls, cfg, start_iter):
                called.append("train loader")
                return super().build_train_loader(cfg, start_iter)

            @classmethod
            def build_test_loader(cls, cfg, dataset_name):
                called.append("test loader")
                return super().build_test_loader(cfg, dataset_name)

            @classmethod
            def build_evaluator(cls, cfg, dataset_name):
                called.append("evaluator")
                return super().build_evaluator(cfg, dataset_name)

            def build_writers(self):
                called.append("writers")
                return []

        cfg = make_cfg(config, tmp_path, "SOLVER.MAX_ITER", 1)
        results = Mine(cfg).train()
        assert set(called) == {
            "model", "optimizer", "train loader", "test loader", "evaluator", "writers"
        }  # fmt: skip
        assert "sem_seg/mIoU" in results

    def test_a_model_may_log_what_is_written(self, config, tmp_path):
        def log(module, inputs, outputs):
            if module.training:
                get_event_storage().put_scalar("mean_of_logits", outputs.detach().mean())

        class Mine(DefaultTrainer):
            @classmethod
            def build_model(cls, cfg):
                model = super().build_model(cfg)
                model.sem_seg_head.register_forward_hook(log)
                return model

        Mine(make_cfg(config, tmp_path, "SOLVER.MAX_ITER", 1)).train()
        assert isinstance(lines(tmp_path)[-1]["mean_of_logits"], float)
        with pytest.raises(RuntimeError, match="no training is going on"):
            get_event_storage()

    def test_a_loader_that_can_not_start_at_an_iteration_is_refused(self, config, tmp_path):
        class Mine(DefaultTrainer):
            @classmethod
            def build_train_loader(cls, cfg):
                return build_detection_train_loader(cfg)

        message = r"Mine\.build_train_loader has to take \(cfg, start_iter\).*start_iter=start_iter"
        with pytest.raises(TypeError, match=message):
            Mine(make_cfg(config, tmp_path))
