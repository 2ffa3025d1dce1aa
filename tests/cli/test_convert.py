import pytest
import torch
import torchvision

import segsuite
from segsuite.checkpoint import load_state
from tests.processes import run_segsuite_here


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_convert(tmp_path, suffix, capsys, caplog):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    model = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None
    )
    torch.save(model.state_dict(), tmp_path / "theirs.pth")
    output = tmp_path / f"ours{suffix}"
    words = [tmp_path / "theirs.pth", output, "--config-file", "_base_/lraspp"]
    overrides = ["MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 21]
    assert run_segsuite_here("convert", *words, *overrides) == 0
    printed = capsys.readouterr().out
    assert "torchvision Lite R-ASPP: 319 names converted" in printed
    assert "21 classes of sem_seg_head: __background__, aeroplane" in printed
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    state = load_state(output)
    assert state["classes"]["sem_seg_head"][-1] == "tvmonitor"
    # The printed configuration is inside, and builds the model.
    assert 'NAME: "LRASPPHead"' in printed and 'OUT_FEATURES: ["block4", "conv_last"]' in printed
    net = segsuite.load(output)
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(net(x), model.eval()(x)["out"], rtol=1e-4, atol=1e-5)
    name = "sem_seg_head.fine_predictor.weight"
    assert torch.equal(state["model"][name], model.classifier.low_classifier.weight)


def test_unknown_source_and_suffix(tmp_path, capsys):
    torch.save({"x": torch.zeros(1)}, tmp_path / "theirs.pth")
    assert run_segsuite_here("convert", tmp_path / "theirs.pth", tmp_path / "ours.bin") == 2
    printed = capsys.readouterr()
    assert "written as .pth or .safetensors" in printed.err
    assert "of no library that is known" in printed.out


def test_nothing_is_written_for_a_configuration_that_is_refused(tmp_path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "theirs.pth")
    words = [tmp_path / "theirs.pth", tmp_path / "ours.pth", "--config-file", "_base_/lraspp"]
    assert run_segsuite_here("convert", *words, "MODEL.NO_KEY", 1) == 2
    assert not (tmp_path / "ours.pth").exists()


def test_what_is_not_built_here_is_refused(tmp_path, capsys):
    with torch.device("meta"):
        state = torchvision.models.detection.retinanet_resnet50_fpn(
            weights=None, weights_backbone=None
        ).state_dict()
    state = {name: torch.zeros(tensor.shape) for name, tensor in state.items()}
    torch.save(state, tmp_path / "theirs.pth")
    assert run_segsuite_here("convert", tmp_path / "theirs.pth", tmp_path / "ours.pth") == 2
    error = capsys.readouterr().err
    assert "torchvision RetinaNet or FCOS, which is not built here" in error
    assert "MODEL.WEIGHTS_PARTS [backbone]" in error
    assert not (tmp_path / "ours.pth").exists()
