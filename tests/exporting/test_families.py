"""Every semantic architecture goes out and comes back as PyTorch has it, at any size."""

from __future__ import annotations

import pytest

from tests.exporting.families import agreement
from tests.helpers import requires_camvid
from tests.modeling.zoo import ARCHITECTURES


@pytest.mark.slow
@requires_camvid
@pytest.mark.parametrize("format", ["onnx", "openvino", "torch_export"])
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.usefixtures("datasets_root")
def test_architectures_say_what_pytorch_says(name, format):
    found = agreement(ARCHITECTURES[name].config(), format)
    assert found.logits <= 1e-4
    assert found.labels >= 0.9999
