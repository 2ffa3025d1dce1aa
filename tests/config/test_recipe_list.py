"""The list of recipes: a line that fits, for each; no figure that is not in the documentation."""

from __future__ import annotations

import re

import pytest

from segsuite.cli.recipes import print_group
from segsuite.config.recipe_list import describe_recipe, recipe_comment
from segsuite.config.recipes import recipe_names
from segsuite.errors import UnknownNameError
from tests.helpers import REPO
from tests.processes import run_segsuite_here

LINES = {
    "own/semantic": "your data, DeepLabV3+ on ResNet-50: 20k x 8 images",
    "camvid/unet_resnet18_20min": "CamVid, U-Net on narrow ResNet-18: mIoU 59.4 in 20 minutes",
    "camvid/fcn16s_vgg16": "CamVid, FCN-16s on VGG-16: 4600 x 8 images",
    "camvid/unet": "CamVid, U-Net of 2015: 9200 x 8 images",
    "cityscapes/drn_c_26": "Cityscapes, DRN-C-26: 80k x 16 images",
    "cityscapes/hrnet_w32_ocr": "Cityscapes, OCR on HRNetV2-W32: 80k x 12 images",
    "ade20k/segformer_b3": "ADE20K, SegFormer-B3: 160k x 16 images",
    "COCO-Detection/faster_rcnn_R_101_DC5_3x": "COCO, Faster R-CNN R101-DC5: 270k x 16 images",
    "COCO-Detection/rpn_R_50_C4_1x": "COCO, RPN R50-C4: 90k x 16 images",
    "COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x": (
        "COCO, Mask R-CNN X101-FPN: 270k x 16 images"
    ),
    "Misc/cascade_mask_rcnn_R_50_FPN_1x": "COCO, Cascade Mask R-CNN R50-FPN: 90k x 16 images",
    "Misc/semantic_R_50_FPN_1x": "COCO, Semantic FPN on ResNet-50: 90k x 16 images",
    "smoke/lraspp_shapes": "shapes, Lite R-ASPP on MobileNetV3-Large: 60 x 8 images",
}


@pytest.mark.parametrize("name", LINES)
def test_line(name):
    assert describe_recipe(name) == LINES[name]


def test_every_recipe_has_a_line_that_fits(capsys):
    assert run_segsuite_here("recipes") == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 100 for line in printed.splitlines())
    for name in recipe_names():
        assert re.search(rf"^{name}\s+\S.*: (.+ in .+ minutes|\w+ x \d+ images)$", printed, re.M)
    assert "Head" not in printed and "build_" not in printed


def test_what_is_said_to_be_reached_is_in_the_documentation():
    pages = [p.read_text() for p in (REPO / "docs").glob("*.md")]
    found = 0
    for name in recipe_names():
        figure = re.search(r"(mIoU|AP) ([\d.]+) in ([\d.]+) minutes", describe_recipe(name))
        if figure:
            found += 1
            stem = name.rpartition("/")[2]
            assert any(stem in text and figure[2] in text for text in pages), name
    assert found == 12


def test_lines_that_are_long_go_below_their_names(capsys):
    print_group([("a" * 60, "b" * 40), ("c", "d")])
    assert capsys.readouterr().out == f"\n{'a' * 60}\n    {'b' * 40}\nc\n    d\n"


def test_one_recipe(capsys):
    assert run_segsuite_here("recipes", "own/binary.yaml") == 0
    printed = capsys.readouterr().out
    assert LINES["own/semantic"][:9] in printed and "configs/own/binary.yaml" in printed
    assert recipe_comment("own/binary") in printed and "masks of 0 and 255" in printed


def test_an_unknown_one(capsys):
    with pytest.raises(UnknownNameError, match=r"no recipe 'demoo'\. Did you mean demo\?"):
        describe_recipe("demoo")
    assert run_segsuite_here("recipes", "camvit") == 2
    assert "camvid/" in capsys.readouterr().err
