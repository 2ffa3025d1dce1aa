import numpy as np
import pytest

from segsuite.data.packed import PackedRecords


def test_records_come_back_whole():
    records = [
        {"file_name": f"{i}.jpg", "annotations": [{"bbox": [i, 2.5]}] * i, "label_map": {0: 255}}
        for i in range(5)
    ]
    packed = PackedRecords(iter(records))
    assert list(packed) == records and len(packed) == 5
    assert packed[3] is not packed[3]
    with pytest.raises(IndexError, match="record 5 of 5"):
        packed[5]
    assert packed[np.int64(2)] == records[2]
    assert packed[-1] == records[-1] and packed[1:4:2] == records[1:4:2]


def test_no_records():
    assert list(PackedRecords([])) == []
