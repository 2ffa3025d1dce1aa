from pathlib import Path

import pytest

from segsuite.utils.record_name import record_name


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"file_name": "a/b.png", "image_id": 7}, "a/b.png"),
        ({"file_name": Path("b.png")}, "b.png"),
        ({"image_id": 7, "image": None}, "image 7"),
        ({"image": None}, "a record without file_name and image_id"),
    ],
)
def test_the_file_then_the_id(record, name):
    assert record_name(record) == name
