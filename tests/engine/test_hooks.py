from __future__ import annotations

import copy
import json
import os
import signal

import numpy as np
import pytest
import torch

from segsuite.checkpoint import Checkpointer
from segsuite.engine import hooks
from segsuite.engine.hooks import gradients
from segsuite.engine.train_loop import HookBase, TrainingInterrupted
from segsuite.utils.writers import JSONWriter

from .toy import batches, same_weights, toy_trainer


def run(trainer, hook_list, start=0, stop=10):
    trainer.register_hooks(hook_list)
    trainer.train(start, stop)
    return trainer


def scores(*values):
    """An evaluation that gives these scores one after another."""
    it = iter(values)
    return lambda: {"task": {"score": next(it)}}


def at(iteration, action):
    class At(HookBase):
        def after_step(self):
            if self.trainer.iter == iteration:
                action()

    return At()


class TestIterationTimer:
    def test_puts_seconds_of_every_step(self):
        trainer = run(toy_trainer(), [hooks.IterationTimer()])
        times = trainer.storage.history("time")
        assert len(times) == 10 and all(seconds > 0 for _, seconds in times)


class TestLRScheduler:
    def test_sets_the_rate_of_each_group_by_its_base(self):
        trainer = toy_trainer(lr=0.1)
        first, *rest = trainer.optimizer.param_groups[0]["params"]
        trainer.optimizer.param_groups[0]["params"] = rest
        trainer.optimizer.add_param_group({"params": [first], "base_lr": 1.0})
        seen = []

        class See(HookBase):
            def after_backward(self):
                seen.append([g["lr"] for g in self.trainer.optimizer.param_groups])

        run(trainer, [hooks.LRScheduler(trainer.optimizer, lambda i: 0.5**i), See()], 2, 4)
        assert seen == [[0.1 * 0.25, 0.25], [0.1 * 0.125, 0.125]]
        assert trainer.storage.history("lr") == [(2, 0.1 * 0.25), (3, 0.1 * 0.125)]

    def test_a_schedule_may_compute_with_numpy(self):
        """Its numbers can't be read back from a checkpoint."""
        trainer = toy_trainer(lr=0.1)
        run(trainer, [hooks.LRScheduler(trainer.optimizer, lambda i: np.float64(0.5))])
        (group,) = trainer.optimizer.param_groups
        assert group["lr"] == 0.05 and type(group["lr"]) is float


class TestPeriodicWriter:
    def lines(self, path):
        return [json.loads(line) for line in path.read_text().splitlines()]

    def test_writes_every_period_and_at_the_end(self, tmp_path):
        path = tmp_path / "metrics.json"
        trainer = run(toy_trainer(), [hooks.PeriodicWriter([JSONWriter(path)], period=4)])
        lines = self.lines(path)
        assert [line["iteration"] for line in lines] == [3, 7, 9]
        history = [value for _, value in trainer.storage.history("total_loss")]
        assert lines[1]["total_loss"] == pytest.approx(sum(sorted(history[4:8])[1:3]) / 2)

    @pytest.mark.parametrize("stop", [3, 4, 6, 9])
    def test_a_resumed_run_writes_the_same_lines(self, tmp_path, stop):
        def hook_list(path):
            evaluation = hooks.EvalHook(lambda: {"score": 1.0}, period=3)
            return [evaluation, hooks.PeriodicWriter([JSONWriter(path)], period=4)]

        whole, resumed = tmp_path / "whole.json", tmp_path / "resumed.json"
        run(toy_trainer(), hook_list(whole))

        trainer, saved = toy_trainer(), {}
        save = at(stop - 1, lambda: saved.update(copy.deepcopy(trainer.state_dict())))
        run(trainer, [*hook_list(resumed), save])  # and writes lines that come again
        trainer = toy_trainer()
        trainer.register_hooks(hook_list(resumed))
        trainer.load_state_dict(saved)
        trainer.train(saved["iteration"], 10)

        def without_times(path):
            return [{k: v for k, v in line.items() if "time" not in k} for line in self.lines(path)]

        assert without_times(resumed) == without_times(whole)


class TestEvalHook:
    def test_evaluates_every_period_and_after_the_last_step(self):
        trainer = run(toy_trainer(), [hooks.EvalHook(scores(1, 2, 3), period=4)])
        assert trainer.storage.history("task/score") == [(3, 1.0), (7, 2.0), (9, 3.0)]

    def test_only_at_the_end_with_period_zero(self):
        hook = hooks.EvalHook(scores(1), period=0)
        assert run(toy_trainer(), [hook]).storage.history("task/score") == [(9, 1.0)]
        assert hook.results == {"task/score": 1.0}


class TestEarlyStopping:
    def stopping(self, *values, patience=2):
        evaluation = hooks.EvalHook(scores(*values), period=1)
        stop = hooks.EarlyStopping(evaluation, metric="task/score", patience=patience)
        return [evaluation, stop]

    def test_stops_when_the_metric_no_longer_rises(self):
        trainer = run(toy_trainer(), self.stopping(1, 3, 2, 3, 9, 9, 9, 9, 9, 9))
        assert trainer.iter == 4 and not trainer.interrupted

    def test_goes_on_while_it_rises(self):
        assert run(toy_trainer(), self.stopping(*range(10))).iter == 10

    def test_nan_is_no_rise(self):
        nan = float("nan")
        assert run(toy_trainer(), self.stopping(nan, nan, 5)).iter == 2

    def test_patience_and_the_decision_survive_a_resume(self):
        trainer = run(toy_trainer(), self.stopping(3, 2), stop=2)
        state = trainer.state_dict()
        resumed = toy_trainer()
        resumed.register_hooks(self.stopping(2, 9))
        resumed.load_state_dict(state)
        resumed.train(2, 10)
        assert resumed.iter == 3
        again = toy_trainer()
        again.register_hooks(self.stopping(9))
        again.load_state_dict(resumed.state_dict())
        again.train(3, 10)
        assert again.iter == 3


class TestBestCheckpointer:
    def test_keeps_the_best(self, tmp_path):
        trainer = toy_trainer()
        checkpointer = Checkpointer(tmp_path)
        evaluation = hooks.EvalHook(scores(1, 5, 3, 5, 4), period=2)
        best = hooks.BestCheckpointer(
            checkpointer,
            evaluation,
            metric="task/score",
            state=lambda: {"model": trainer.model.state_dict(), "at": trainer.iter},
        )
        run(trainer, [evaluation, best])
        saved = torch.load(tmp_path / "model_best.pth", weights_only=True)
        assert saved["at"] == 3 and saved["metric"] == {"task/score": 5.0}
        assert self.resume(tmp_path, trainer, 4.9) == 5.0
        assert self.resume(tmp_path, trainer, 5.1) == 5.1

    def resume(self, folder, trainer, score):
        """The best score after a run goes on and is evaluated once more."""
        evaluation = hooks.EvalHook(scores(score), period=0)
        best = hooks.BestCheckpointer(
            Checkpointer(folder), evaluation, metric="task/score", state=dict
        )
        resumed = toy_trainer()
        resumed.register_hooks([evaluation, best])
        resumed.load_state_dict(trainer.state_dict())
        resumed.train(10, 11)
        state = torch.load(folder / "model_best.pth", weights_only=True)
        return state["metric"]["task/score"]

    def test_without_a_name_the_main_figure_of_the_task_counts(self, tmp_path):
        results = iter([{"segm": {"AP50": 9.0, "AP": 2.0}}, {"segm": {"AP50": 8.0, "AP": 3.0}}])
        evaluation = hooks.EvalHook(lambda: next(results), period=5)
        best = hooks.BestCheckpointer(Checkpointer(tmp_path), evaluation, metric="", state=dict)
        run(toy_trainer(), [evaluation, best])
        saved = torch.load(tmp_path / "model_best.pth", weights_only=True)
        assert saved["metric"] == {"segm/AP": 3.0}

    def test_an_unknown_metric_is_told_and_training_goes_on(self, tmp_path, caplog):
        logger = hooks.evaluation.logger
        logger.addHandler(caplog.handler)
        evaluation = hooks.EvalHook(scores(1), period=0)
        best = hooks.BestCheckpointer(
            Checkpointer(tmp_path), evaluation, metric="task/scor", state=dict
        )
        trainer = run(toy_trainer(), [evaluation, best])
        logger.removeHandler(caplog.handler)
        assert trainer.iter == 10 and not (tmp_path / "model_best.pth").exists()
        assert "task/scor" in caplog.text and "Did you mean 'task/score'" in caplog.text


class TestPeriodicCheckpointer:
    def test_every_period_at_the_end_and_final(self, tmp_path):
        checkpointer = Checkpointer(tmp_path, keep=2)
        trainer = toy_trainer()
        hook = hooks.PeriodicCheckpointer(
            checkpointer, period=4, final_state=lambda: {"model": trainer.model.state_dict()}
        )
        run(trainer, [hook])
        names = sorted(path.name for path in tmp_path.glob("*.pth"))
        assert names == ["model_0000008.pth", "model_0000010.pth", "model_final.pth"]
        _, state = checkpointer.latest()
        assert state["iteration"] == 10
        other = toy_trainer()
        other.load_state_dict(state)
        assert same_weights(other.model, trainer.model)


class TestEMAHook:
    def test_average_is_applied_for_a_while_and_resumes(self):
        def train(trainer, start, stop):
            hook = hooks.EMAHook(trainer.model, decay=0.9)
            trainer.register_hooks([hook])
            return hook, lambda: trainer.train(start, stop)

        whole = toy_trainer()
        hook, go = train(whole, 0, 6)
        go()
        own = copy.deepcopy(whole.model)
        with hook.applied():
            averaged = copy.deepcopy(whole.model)
        assert same_weights(whole.model, own) and not same_weights(averaged, own)

        first = toy_trainer()
        _, go = train(first, 0, 3)
        go()
        first.iter = 2
        state = copy.deepcopy(first.state_dict())
        resumed = toy_trainer()
        hook, go = train(resumed, 3, 6)
        resumed.load_state_dict(state)
        go()
        with hook.applied():
            assert same_weights(resumed.model, averaged)

    def test_starts_from_weights_loaded_after_it_was_made(self):
        trainer = toy_trainer()
        hook = hooks.EMAHook(trainer.model, decay=0.9)
        trainer.register_hooks([hook])
        with torch.no_grad():
            trainer.model.layers[0].weight.fill_(7.0)
        trainer.train(0, 0)
        with hook.applied():
            assert (trainer.model.layers[0].weight == 7.0).all()


class TestPreciseBN:
    def test_statistics_are_those_of_the_batches_that_follow(self):
        from contextlib import nullcontext

        trainer = toy_trainer()
        evaluation = hooks.EvalHook(dict, period=0)
        precise = hooks.PreciseBN(
            evaluation,
            num_iter=5,
            build_loader=batches,
            evaluation_weights=lambda: nullcontext(trainer.model),
        )
        run(trainer, [precise, evaluation], stop=3)
        stream = batches(3)
        with torch.no_grad():
            x = [
                trainer.model.layers[0](torch.stack([r["x"] for r in next(stream)]))
                for _ in range(5)
            ]
        mean = torch.stack([b.mean(0) for b in x]).mean(0)
        torch.testing.assert_close(trainer.model.layers[1].running_mean, mean)


class TestNaNGuard:
    def guarded(self, folder, spoil):
        def stream(start):
            for i, batch in enumerate(batches(start), start):
                if i == 3:
                    spoil(batch)
                yield batch

        trainer = toy_trainer(build_loader=stream)
        norm = hooks.GradientNorm()
        trainer.register_hooks([norm, hooks.NaNGuard(folder, norm)])
        return trainer

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_names_iteration_and_images_saves_the_batch_and_stops(self, tmp_path, value):
        def spoil(batch):
            batch[1]["x"] = torch.full((4,), value)

        trainer = self.guarded(tmp_path, spoil)
        with pytest.raises(hooks.NonFiniteError, match=r"iteration 3: .*image_12\.png") as e:
            trainer.train(0, 10)
        path = tmp_path / "nonfinite_0000003.pth"
        assert str(path) in str(e.value)
        saved = torch.load(path, weights_only=True)
        assert [r["image_id"] for r in saved["batch"]] == [12, 13, 14, 15]
        assert not torch.isfinite(saved["batch"][1]["x"]).any()
        # The step was not taken.
        assert all(p.isfinite().all() for p in trainer.model.parameters())

    def test_a_gradient_alone_is_enough(self, tmp_path):
        trainer = self.guarded(tmp_path, lambda batch: None)
        weight = trainer.model.layers[0].weight
        weight.register_hook(lambda g: g * float("nan") if trainer.iter == 5 else g)
        with pytest.raises(hooks.NonFiniteError, match=r"iteration 5: .*grad_norm nan"):
            trainer.train(0, 10)

    def test_late_news_still_name_the_right_step(self, tmp_path, monkeypatch):
        """As on CUDA, where the outcome arrives after further steps have begun."""

        class Late(gradients.FlagOnItsWay):
            def __init__(self, flag):
                super().__init__(flag)
                self.iteration = trainer.iter

            @property
            def arrived(self):
                return trainer.iter >= self.iteration + 2

        monkeypatch.setattr(gradients, "FlagOnItsWay", Late)
        trainer = self.guarded(tmp_path, lambda batch: batch[0]["x"].fill_(float("nan")))
        with pytest.raises(hooks.NonFiniteError, match=r"iteration 3: .*image_12\.png"):
            trainer.train(0, 10)
        assert trainer.iter == 5

    def test_gradient_norm(self):
        trainer = toy_trainer()
        norm = hooks.GradientNorm()
        run(trainer, [norm], stop=1)
        grads = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
        torch.testing.assert_close(norm.norm, grads.norm())
        assert trainer.storage.latest()["grad_norm"][0] == pytest.approx(float(grads.norm()))


class TestProfiler:
    def test_trace_of_the_steps(self, tmp_path):
        run(toy_trainer(), [hooks.Profiler(tmp_path, start=2, steps=3)])
        trace = json.loads((tmp_path / "profile" / "rank0.json").read_text())
        steps = [e for e in trace["traceEvents"] if "SGD.step" in e.get("name", "")]
        assert len({e["ts"] for e in steps}) >= 3

    def test_an_error_while_it_runs_leaves_no_profiler_behind(self, tmp_path):
        def fail():
            raise RuntimeError("oh")

        with pytest.raises(RuntimeError, match="oh"):
            run(toy_trainer(), [hooks.Profiler(tmp_path, start=2, steps=3), at(3, fail)])
        run(toy_trainer(), [hooks.Profiler(tmp_path, start=2, steps=3)])


class TestSignalHook:
    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
    def test_stops_after_the_step_with_a_checkpoint(self, tmp_path, signum):
        previous = signal.getsignal(signum)
        checkpointer = Checkpointer(tmp_path)
        save = hooks.PeriodicCheckpointer(checkpointer, period=100, final_state=dict)
        send = at(4, lambda: os.kill(os.getpid(), signum))
        trainer = toy_trainer()
        with pytest.raises(TrainingInterrupted) as ended:
            run(trainer, [send, hooks.SignalHook(), save])
        assert ended.value.code == 128 + signum
        assert trainer.iter == 5 and trainer.interrupted
        assert [p.name for p in tmp_path.glob("*.pth")] == ["model_0000005.pth"]
        assert signal.getsignal(signum) is previous

    def test_one_that_comes_in_the_last_step_leaves_the_run_complete(self, tmp_path):
        save = hooks.PeriodicCheckpointer(Checkpointer(tmp_path), period=100, final_state=dict)
        send = at(9, lambda: os.kill(os.getpid(), signal.SIGTERM))
        trainer = run(toy_trainer(), [send, hooks.SignalHook(), save])
        assert trainer.iter == 10 and not trainer.interrupted
        assert (tmp_path / "model_final.pth").exists()

    def test_an_ignored_signal_stays_ignored(self):
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            send = at(4, lambda: os.kill(os.getpid(), signal.SIGINT))
            assert run(toy_trainer(), [send, hooks.SignalHook()]).iter == 10
        finally:
            signal.signal(signal.SIGINT, previous)

    def test_ctrl_c_again_interrupts_at_once(self, monkeypatch):
        now = [0.0]
        monkeypatch.setattr(hooks.signals.time, "monotonic", lambda: now[0])

        def press_twice():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)  # as launchers repeat it
            now[0] = 2.0
            os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            run(toy_trainer(), [hooks.SignalHook(), at(1, press_twice)])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
