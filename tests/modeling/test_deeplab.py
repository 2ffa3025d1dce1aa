import pytest
import torch
import torch.nn.functional as F

from segsuite.config import get_cfg
from segsuite.layers import ShapeSpec
from segsuite.modeling.sem_seg import build_sem_seg_head

from .head_contract import HeadContract


class TestDeepLabV3Head(HeadContract):
    name = "DeepLabV3Head"
    in_features = ("res5",)
    options = {"MODEL.SEM_SEG_HEAD.ASPP_CHANNELS": 8, "MODEL.SEM_SEG_HEAD.NUM_CONVS": 1}


class TestDeepLabV3PlusHead(HeadContract):
    name = "DeepLabV3PlusHead"
    options = {
        "MODEL.SEM_SEG_HEAD.ASPP_CHANNELS": 8,
        "MODEL.SEM_SEG_HEAD.PROJECT_FEATURES": ["res2", "res3", "res4"],
        "MODEL.SEM_SEG_HEAD.PROJECT_CHANNELS": [4, 4, 8],
    }


class TestDepthwiseDeepLabV3PlusHead(HeadContract):
    name = "DeepLabV3PlusHead"
    in_features = ("res2", "res5")
    options = {
        "MODEL.SEM_SEG_HEAD.ASPP_CHANNELS": 8,
        "MODEL.SEM_SEG_HEAD.USE_DEPTHWISE_SEPARABLE_CONV": True,
        "INPUT.CROP.ENABLED": True,
        "INPUT.CROP.TYPE": "absolute",
        "INPUT.CROP.SIZE": [32, 64],
    }


def deeplab(name, **options):
    cfg = get_cfg()
    in_features = ["res5"] if name == "DeepLabV3Head" else ["res2", "res5"]
    head = {"NAME": name, "NUM_CLASSES": 3, "NORM": "BN", "IN_FEATURES": in_features}
    cfg.MODEL.SEM_SEG_HEAD.update({**head, **options})
    cfg.INPUT.CROP.ENABLED = True
    shapes = {"res2": ShapeSpec(8, 4), "res3": ShapeSpec(8, 8), "res5": ShapeSpec(8, 16)}
    return cfg, shapes


@pytest.mark.parametrize(
    "name, options, crop, message",
    [
        ("DeepLabV3Head", {}, ("relative", [0.5, 0.5]), "CROP.TYPE is 'relative'"),
        ("DeepLabV3Head", {}, ("absolute", [64, 90]), r"CROP.SIZE is \[64, 90\], .* stride 16"),
        ("DeepLabV3Head", {"IN_FEATURES": ["res2", "res5"]}, None, "one feature"),
        ("DeepLabV3PlusHead", {"IN_FEATURES": ["res5"]}, None, r"PROJECT_FEATURES is \['res2'\]"),
        ("DeepLabV3PlusHead", {"IN_FEATURES": ["res3", "res5"]}, None, "projects each"),
        ("DeepLabV3PlusHead", {"PROJECT_CHANNELS": []}, None, r"PROJECT_CHANNELS \[\]"),
    ],
)
def test_deeplab_errors(name, options, crop, message):
    cfg, shapes = deeplab(name, **options)
    cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = crop or ("absolute", [64, 64])
    with pytest.raises(ValueError, match=message):
        build_sem_seg_head(cfg, shapes)


def test_aspp_pools_windows_of_the_training_crops():
    cfg, shapes = deeplab("DeepLabV3Head")
    cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = "absolute", [64, 128]
    pool = build_sem_seg_head(cfg, shapes).aspp.convs[-1][0]
    x = torch.randn(1, 8, 6, 12)
    torch.testing.assert_close(pool(x), F.avg_pool2d(x, (4, 8), stride=1))
    # Smaller images are averaged as a whole.
    assert pool(x[..., :3, :]).shape == (1, 8, 1, 5)
    cfg.MODEL.SEM_SEG_HEAD.ASPP_POOL_TRAIN_CROP = False
    pool = build_sem_seg_head(cfg, shapes).aspp.convs[-1][0]
    torch.testing.assert_close(pool(x), x.mean((2, 3), keepdim=True))


def test_batch_norm_behind_aspps_pooling_takes_two_images():
    cfg, shapes = deeplab("DeepLabV3Head", ASPP_POOL_TRAIN_CROP=False, ASPP_POOL_NORM="BN")
    head = build_sem_seg_head(cfg, shapes)
    x = {"res5": torch.randn(1, 8, 6, 12)}
    with pytest.raises(ValueError, match=r"raise SOLVER.IMS_PER_BATCH, or set .*ASPP_POOL_NORM"):
        head(x)
    assert head.eval()(x).shape == (1, 3, 6, 12)
