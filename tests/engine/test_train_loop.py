from __future__ import annotations

import copy

import pytest
import torch

from segsuite.engine.train_loop import HookBase

from .toy import batches, same_weights, toy_trainer


class Recorder(HookBase):
    def __init__(self, fail_at: str = ""):
        self.calls: list[str] = []
        self.fail_at = fail_at

    def __getattribute__(self, name):
        points = ("before_train", "before_step", "after_backward", "after_step", "after_train")
        if name in (*points, "close"):
            return lambda: self.note(name)
        return super().__getattribute__(name)

    def note(self, point):
        self.calls.append(point)
        if point == self.fail_at:
            raise RuntimeError(point)


class TestLoop:
    def test_order_of_the_hook_points(self):
        trainer, hook = toy_trainer(), Recorder()
        trainer.register_hooks([hook])
        trainer.train(0, 2)
        step = ["before_step", "after_backward", "after_step"]
        assert hook.calls == ["before_train", *step, *step, "after_train", "close"]
        assert trainer.iter == 2

    @pytest.mark.parametrize("point", ["before_train", "before_step", "after_backward"])
    def test_an_error_skips_after_train_but_closes_every_hook(self, point):
        trainer, hook, other = toy_trainer(), Recorder(fail_at=point), Recorder()
        trainer.register_hooks([hook, other])
        with pytest.raises(RuntimeError, match=point):
            trainer.train(0, 2)
        assert "after_train" not in hook.calls
        assert hook.calls[-1] == other.calls[-1] == "close"

    def test_stop_ends_after_the_present_step(self):
        class Stop(HookBase):
            def before_step(self):
                if self.trainer.iter == 3:
                    self.trainer.stop("enough")

        trainer = toy_trainer()
        trainer.register_hooks([Stop()])
        trainer.train(0, 10)
        assert trainer.iter == 4 and not trainer.interrupted

    def test_nothing_left_to_do(self):
        trainer, hook = toy_trainer(), Recorder()
        trainer.register_hooks([hook])
        trainer.train(5, 5)
        assert hook.calls == ["before_train", "after_train", "close"]

    def test_state_of_two_hooks_of_one_class(self):
        class Counter(HookBase):
            def __init__(self, n):
                self.n = n

            def state_dict(self):
                return {"n": self.n}

            def load_state_dict(self, state):
                self.n = state["n"]

        first, second = toy_trainer(), toy_trainer()
        first.register_hooks([Counter(1), Recorder(), Counter(2)])
        restored = [Counter(0), Counter(0)]
        second.register_hooks(restored)
        second.load_state_dict(first.state_dict())
        assert [c.n for c in restored] == [1, 2]


class TestStep:
    def test_figures_of_a_step(self):
        trainer = toy_trainer()
        trainer.train(0, 3)
        latest = trainer.storage.latest()
        assert {"loss_fit", "loss_size", "total_loss", "data_time"} <= set(latest)
        total = latest["loss_fit"][0] + latest["loss_size"][0]
        assert latest["total_loss"] == (pytest.approx(total), 2)

    def test_it_learns(self):
        trainer = toy_trainer(lr=0.02, build_loader=lambda start: batches(start, 32))
        trainer.train(0, 200)
        losses = [value for _, value in trainer.storage.history("loss_fit")]
        assert sum(losses[-20:]) < 0.3 * sum(losses[:20])

    def test_a_step_is_that_of_a_bare_loop(self):
        trainer = toy_trainer()
        model = copy.deepcopy(trainer.model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        trainer.train(0, 5)
        stream = batches(0)
        for _ in range(5):
            optimizer.zero_grad()
            sum(model(next(stream)).values()).backward()
            optimizer.step()
        assert same_weights(trainer.model, model)

    def test_accumulated_parts_give_the_gradient_of_the_whole_batch(self):
        whole, parts = toy_trainer(), toy_trainer(accumulate_steps=2)
        for trainer in (whole, parts):
            trainer.model.layers[1].eval()  # batch statistics would differ
            trainer.model.train = lambda: None
            trainer.train(0, 1)
        assert parts.losses.keys() == whole.losses.keys()
        for name, value in whole.losses.items():
            torch.testing.assert_close(parts.losses[name], value)
        for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
            torch.testing.assert_close(a, b)

    def test_a_batch_that_cannot_be_split_names_the_keys(self):
        with pytest.raises(ValueError, match=r"4 images.*3 equal parts.*ACCUMULATE_STEPS"):
            toy_trainer(accumulate_steps=3).train(0, 1)

    def test_clipping_sees_the_gradients(self):
        def clip(parameters):
            norm = torch.nn.utils.clip_grad_norm_(parameters, 1e-3)
            norms.append(float(norm))

        norms: list[float] = []
        trainer = toy_trainer(clip_gradients=clip)
        before = copy.deepcopy(trainer.model)
        trainer.train(0, 1)
        moved = [
            a - b for a, b in zip(trainer.model.parameters(), before.parameters(), strict=True)
        ]
        assert norms[0] > 1e-3
        assert torch.nn.utils.get_total_norm(moved) == pytest.approx(0.1 * 1e-3, rel=1e-3)

    def test_bfloat16_on_the_cpu(self):
        seen = []
        trainer = toy_trainer(amp_dtype=torch.bfloat16)
        trainer.model.layers[0].register_forward_hook(lambda *a: seen.append(a[2].dtype))
        trainer.train(0, 2)
        assert seen == [torch.bfloat16] * 2
        assert all(p.dtype == torch.float32 for p in trainer.model.parameters())


class TestResume:
    @pytest.mark.parametrize("stop", [1, 4, 9])
    def test_continues_to_the_bit(self, stop):
        whole = toy_trainer(dropout=0.5)
        whole.train(0, 10)

        first = toy_trainer(dropout=0.5)
        saved = {}

        class Save(HookBase):
            def after_step(self):
                if self.trainer.iter + 1 == stop:
                    saved.update(copy.deepcopy(self.trainer.state_dict()))

        first.register_hooks([Save()])
        first.train(0, 10)
        resumed = toy_trainer(dropout=0.5)
        torch.manual_seed(123)
        resumed.load_state_dict(saved)
        resumed.train(saved["iteration"], 10)
        assert same_weights(resumed.model, whole.model)
        assert resumed.storage.latest()["total_loss"] == whole.storage.latest()["total_loss"]

    def test_a_loader_that_draws_from_the_generators_changes_nothing(self):
        def drawing(start_iter):
            torch.rand(3)
            return batches(start_iter)

        plain = toy_trainer(dropout=0.5)
        state = copy.deepcopy(plain.state_dict())
        plain.load_state_dict(state)
        plain.train(0, 4)
        other = toy_trainer(dropout=0.5, build_loader=drawing)
        other.load_state_dict(state)
        other.train(0, 4)
        assert same_weights(plain.model, other.model)
