"""Models that are sharded over processes train, are saved and go on as those that are not."""

from __future__ import annotations

import argparse
import copy
import functools
import shutil

import pytest
import torch

from segsuite.checkpoint import Checkpointer
from segsuite.config import load_config
from segsuite.engine import DefaultTrainer, default_setup
from segsuite.engine.fsdp import ShardedModel
from segsuite.errors import ConfigError, MissingPackageError
from segsuite.modeling.backbone import (
    DRN,
    VGG,
    HRNet,
    MixTransformer,
    MobileNetV3,
    ResNet,
    TimmBackbone,
)
from segsuite.utils import comm
from segsuite.utils.sharded_tensors import whole
from tests.processes import run_group

from .test_distributed import norm, terminate_at, train
from .tiny import assert_equal, lines, load, same_tensors, tiny_config

FSDP = ["SOLVER.FSDP.ENABLED", True]
SHARDED = [*FSDP, "SOLVER.FSDP.SHARDED_CHECKPOINTS", True]
# Nothing that differs between processes: no dropout, and statistics over images or all processes.
SAME = [
    *norm("GN"),
    *("MODEL.SEM_SEG_HEAD.DROPOUT", 0.0, "LOG.PERIOD", 1, "SOLVER.MAX_ITER", 6),
    *("TEST.EVAL_PERIOD", 3, "DATALOADER.NUM_WORKERS", 0),
]


@pytest.fixture(scope="module")
def config():
    return tiny_config()


# What one process computes as well, and what two do with DistributedDataParallel.
@pytest.mark.parametrize(
    ("processes", "rounding", "opts"),
    [
        (
            1,
            1e-5,
            [
                *("SOLVER.ACCUMULATE_STEPS", 2, "MODEL.BACKBONE.FREEZE_AT", 1),
                *("SOLVER.CLIP_GRADIENTS.ENABLED", True),
                *("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full_model"),
            ],
        ),
        (
            2,
            1e-5,
            [
                *norm("SyncBN"),
                *("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 2),
                *("SOLVER.OPTIMIZER", "ADAMW", "SOLVER.BASE_LR", 0.001),
                *("SOLVER.OPTIMIZER_ARGS.EPS", 0.001),  # else it makes steps of rounding alone
                *("SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm"),
            ],
        ),
        (2, 2**-8, ["SOLVER.AMP.ENABLED", True, "SOLVER.FSDP.RESHARD_AFTER_FORWARD", False]),
    ],
    ids=["accumulated, clipped, frozen", "SyncBN, AdamW, precise BN", "bfloat16"],
)
def test_the_same_losses_and_weights_as_without(config, tmp_path, processes, rounding, opts):
    plain, sharded = tmp_path / "plain", tmp_path / "sharded"
    train(config, plain, [*SAME, *opts], processes=processes)
    train(config, sharded, [*SAME, *opts, *FSDP], processes=2)
    for a, b in zip(lines(plain), lines(sharded), strict=True):
        assert a["total_loss"] == pytest.approx(b["total_loss"], abs=rounding)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=10 * rounding)
    for figure in ("sem_seg/mIoU", "sem_seg/pACC"):
        assert lines(sharded)[-1][figure] == pytest.approx(
            lines(plain)[-1][figure], abs=0.2 + 200 * rounding
        )
    first, second = (load(folder / "model_0000006.pth") for folder in (plain, sharded))
    for part in ("model", "optimizer", "hooks"):
        assert_close(second[part], first[part], rounding)


def assert_close(a, b, rounding):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_close(a[key], b[key], rounding)
    elif isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, rtol=100 * rounding, atol=rounding)


def outcome(state):
    """What a checkpoint says of the training, without the configuration and seconds."""
    parts = {name: state[name] for name in ("model", "optimizer", "iteration", "rng")}
    return {**parts, "average": state["hooks"]["EMAHook"]}


@pytest.mark.parametrize("kind", [FSDP, SHARDED], ids=["full", "sharded"])
def test_stopped_and_resumed_to_the_bit(config, tmp_path, kind):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    opts = [*kind, "SOLVER.MAX_ITER", 8]
    train(config, whole, opts, processes=2)
    before = functools.partial(terminate_at, 2)
    train(config, stopped, opts, processes=2, before=before, exitcode=143)
    train(config, stopped, opts, processes=2, resume=True)
    for name in ("model_final.pth", "model_best.pth"):
        assert same_tensors(load(stopped / name)["model"], load(whole / name)["model"])
    assert lines(stopped) == lines(whole)
    suffixes = {path.suffix for path in whole.glob("model_0*")}
    assert suffixes == {".pth" if kind is FSDP else ".shards"}


@pytest.fixture(scope="module")
def stopped(config, tmp_path_factory):
    """Two processes after four steps, with a full checkpoint and with a sharded one."""
    folders = []
    for kind in (FSDP, SHARDED):
        folders.append(tmp_path_factory.mktemp("stopped"))
        train(config, folders[-1], [*SAME, *kind, "SOLVER.MAX_ITER", 4], processes=2)
    return folders


def last(folder):
    path, state = Checkpointer(folder).latest()
    return path, outcome(state)


def test_a_sharded_checkpoint_holds_what_a_full_one_does(stopped):
    (full, first), (sharded, second) = map(last, stopped)
    assert (full.suffix, sharded.suffix) == (".pth", ".shards")
    assert_equal(first, second)


def test_resumed_by_one_process_and_by_two_again(config, stopped, tmp_path):
    """By one it is the run that goes on without FSDP from a full checkpoint, to the bit."""
    folders = []
    for folder in stopped:
        folders.append(tmp_path / folder.name)
        shutil.copytree(folder, folders[-1])
        train(config, folders[-1], [*SAME, "SOLVER.MAX_ITER", 6], resume=True)
    (first, a), (second, b) = map(last, folders)
    assert (first.name, second.name) == ("model_0000006.pth", "model_0000006.pth")
    assert_equal(a, b)
    for folder, kind in zip(folders, (FSDP, SHARDED), strict=True):
        train(config, folder, [*SAME, *kind, "SOLVER.MAX_ITER", 8], processes=2, resume=True)
    assert_equal(*(last(folder)[1] for folder in folders))
    finals = [load(folder / "model_final.pth")["model"] for folder in folders]
    assert same_tensors(*finals)


def test_what_can_not_be_sharded_is_told(config, monkeypatch, tmp_path):
    cfg = load_config(config, [*FSDP, "MODEL.COMPILE", True, "OUTPUT_DIR", str(tmp_path)])
    default_setup(cfg, argparse.Namespace(resume=False, eval_only=False))
    with pytest.raises(ConfigError, match=r"SOLVER\.FSDP does not go with MODEL\.COMPILE"):
        DefaultTrainer(cfg)
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    monkeypatch.delattr("torch.distributed.fsdp.fully_shard")
    monkeypatch.setattr("torch.distributed.broadcast", lambda *_: None)
    with pytest.raises(MissingPackageError, match=r"PyTorch 2\.6 or newer, this is 2\.5\.1"):
        ShardedModel(torch.nn.Linear(2, 2))


BACKBONES = {
    "ResNet": lambda: ResNet(depth=18, res2_out_channels=16, out_features=["res5"], norm="SyncBN"),
    "MiT": lambda: MixTransformer(variant="b0", drop_path_rate=0.0),
    "HRNet": lambda: HRNet(width=8, modules=(1, 1, 1), blocks=1, norm="GN"),
    "DRN": lambda: DRN(variant="C-26", base_channels=8, norm="GN"),
    "VGG": lambda: VGG(
        depth=11, out_features=["fc7"], base_channels=8, fc_channels=64, fc_dropout=0.0
    ),
    "MobileNetV3": lambda: MobileNetV3(size="small", norm="GN"),
    "ConvNeXt": lambda: TimmBackbone(name="convnext_atto"),
    "ViT": lambda: TimmBackbone(name="vit_tiny_patch16_224", out_indices=[11]),
}


class Loss(torch.nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        return {name: f.float().square().mean() for name, f in self.backbone(x).items()}


def gradients(name, dtype):
    """Of a backbone on this process's image, meant over the processes: sharded, and not."""
    torch.manual_seed(0)
    plain = Loss(BACKBONES[name]())
    model = copy.deepcopy(plain)
    ShardedModel(model, amp_dtype=dtype)
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(comm.get_rank()))
    found = []
    for module in (plain, model):
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            sum(module(x).values()).backward()
        grads = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
        found.append({n: whole(g) for n, g in grads.items()})
    found[0] = {n: comm.all_reduce_mean(g) for n, g in found[0].items()}
    return found, len(plain.backbone.blocks())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", BACKBONES)
def test_gradients_of_backbones(name, dtype):
    (expected, found), blocks = run_group(gradients, name, dtype)[0]
    assert blocks > 1 and found.keys() == expected.keys()
    rounding = 1e-4 if dtype is None else 0.02
    norm = torch.stack([g.norm() for g in expected.values()]).norm()
    error = torch.stack([(found[n] - expected[n]).norm() for n in expected]).norm()
    assert error < rounding * norm
