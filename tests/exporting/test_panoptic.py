"""Panoptic models go out whole: segments, instances and labels are PyTorch's."""

from __future__ import annotations

import pytest
import torch

from segsuite.exporting.check import compare_with_pytorch, open_file
from segsuite.exporting.describe import describe
from tests.exporting.tiny_instances import config, detecting, graph_of, random_record, written

_RECORDS = [
    random_record((64, 96), 1),
    random_record((50, 71), 2, (100, 130)),
    random_record((128, 160), 4, (97, 200)),
]
# See test_instances.py.
_RECORDS_OF_PT2 = [random_record((66, 96), 1), random_record((80, 71), 2, (100, 130)), _RECORDS[2]]


def test_metadata_names_both_kinds_of_classes():
    cfg = config("panoptic")
    cfg.DATASETS.TEST = cfg.DATASETS.TRAIN = ()
    model = detecting(cfg)
    metadata = describe(cfg, model, graph_of(cfg, model), "")
    assert metadata.task == "panoptic"
    assert (len(metadata.thing_classes), len(metadata.stuff_classes)) == (3, 4)
    assert metadata.inputs == ["images", "size"]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino", "torch_export"])
def test_segments_are_those_of_pytorch(tmp_path, format):
    graph, path = written(tmp_path, config("panoptic"), format=format, pasted=format == "onnx")
    records = _RECORDS_OF_PT2 if format == "torch_export" else _RECORDS
    differences = {d.what: d.value for d in compare_with_pytorch(graph, path, records)}
    assert differences["share of instances that only one has"] == 0
    assert differences["share of panoptic pixels"] <= 1e-4
    assert differences["share of other labels"] <= 1e-4
    assert differences["share of mask pixels"] <= 1e-3
    run = open_file(path)
    for record in records:
        outputs = run(graph.records_to_inputs(record))
        ids, segments = graph.reference(record)["panoptic_seg"]
        assert {s["isthing"] for s in segments} == {True, False}
        assert (outputs["panoptic"][0] == ids).float().mean() >= 0.9999
        rows = outputs["segments"][0, : int(outputs["segment_count"])]
        assert rows[:, 0].tolist() == [s["category_id"] for s in segments]
        assert rows[:, 1].tolist() == [s["isthing"] for s in segments]
        assert rows[:, 4].tolist() == [s.get("instance_id", -1) for s in segments]
        areas = torch.tensor([float(s.get("area", 0)) for s in segments])
        assert ((rows[:, 3] - areas).abs() <= 2).all()
