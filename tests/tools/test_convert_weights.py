from argparse import Namespace

import pytest
import torch
import torchvision

from segsuite.checkpoint import load_state
from tests.helpers import REPO
from tools.convert_weights import main


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_convert(tmp_path, suffix, capsys, caplog):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    model = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None
    )
    torch.save(model.state_dict(), tmp_path / "theirs.pth")
    output = tmp_path / f"ours{suffix}"
    main(
        Namespace(
            input=tmp_path / "theirs.pth",
            output=output,
            config_file=REPO / "configs/_base_/lraspp.yaml",
            opts=["MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "21"],
        )
    )
    printed = capsys.readouterr().out
    assert "torchvision Lite R-ASPP: 319 names converted" in printed
    assert "21 classes of sem_seg_head: __background__, aeroplane" in printed
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    state = load_state(output)
    assert state["classes"]["sem_seg_head"][-1] == "tvmonitor"
    name = "sem_seg_head.fine_predictor.weight"
    assert torch.equal(state["model"][name], model.classifier.low_classifier.weight)


def test_unknown_source_and_suffix(tmp_path, capsys):
    torch.save({"x": torch.zeros(1)}, tmp_path / "theirs.pth")
    args = Namespace(
        input=tmp_path / "theirs.pth", output=tmp_path / "ours.bin", config_file=None, opts=[]
    )
    with pytest.raises(ValueError, match=r"written as \.pth or \.safetensors"):
        main(args)
    assert "of no library that is known" in capsys.readouterr().out
