import io

import numpy as np
import pytest
from PIL import Image

from segsuite.data import MetadataCatalog, read_image, read_sem_seg
from segsuite.errors import ConfigError, DataError, MissingFileError

pyarrow = pytest.importorskip("pyarrow")
SIZE = (20, 30)


def stored(pixels, format="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return {"bytes": file.getvalue(), "path": None}


PHOTO = stored(np.zeros((*SIZE, 3), np.uint8), "JPEG")


@pytest.fixture
def make(tmp_path):
    def make(rows, format="parquet", **keys):
        from pyarrow.parquet import write_table

        write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
        files = {"FILES": str(tmp_path / "a.parquet"), "EXTRACT_TO": str(tmp_path / "out")}
        return {"FORMAT": format, **files, **keys}

    return make


def test_objects_as_a_list_of_structs_with_polygons(make, read):
    objects = [
        {"bbox": [2.0, 3, 12, 9], "label": "cat", "segmentation": [[2.0, 3, 12, 3, 12, 9]]},
        {"bbox": [2.0, 3, 12, 9], "label": "ant", "segmentation": []},
    ]
    (record,) = read(make([{"image": PHOTO, "objects": objects}], BOXES="xyxy"))
    assert MetadataCatalog.get("exchange_read").thing_classes == ["ant", "cat"]
    cat, ant = record["annotations"]
    assert cat["bbox"] == ant["bbox"] == [2, 3, 10, 6] and cat["category_id"] == 1
    assert len(cat["segmentation"][0]) == 6
    assert read_image(record["file_name"]).shape == (*SIZE, 3)


def test_numbers_need_names(make, read):
    rows = [{"image": PHOTO, "objects": {"bbox": [[2.0, 3, 12, 9]], "category": [1]}}]
    with pytest.raises(DataError, match=r"row 0 .*, object 0 .* has no names of classes"):
        read(make(rows))
    (record,) = read(make(rows, CLASSES=["a", "b"]))
    assert record["annotations"][0]["category_id"] == 1
    with pytest.raises(DataError, match="category 1; there are 0 to 0"):
        read(make(rows, CLASSES=["a"]))


def test_paths_instead_of_bytes(make, read, tmp_path):
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "x.jpg")
    rows = [{"image": {"bytes": None, "path": "x.jpg"}, "objects": None}]
    (record,) = read(make(rows))
    assert record["file_name"] == str(tmp_path / "x.jpg") and record["annotations"] == []
    with pytest.raises(MissingFileError, match=r"row 0 .* names the image y\.jpg"):
        read(make([{"image": {"bytes": None, "path": "y.jpg"}, "objects": None}]))


def test_label_maps_of_objects_and_of_classes(make, read):
    values = np.zeros(SIZE, np.uint8)
    values[2:5, 3:9], values[8:12, 3:9] = 1, 2
    rows = [{"image": PHOTO, "label": stored(values)}]
    (record,) = read(make(rows, LABEL_COLUMN="label", CLASSES=["cell"]))
    assert [a["bbox"] for a in record["annotations"]] == [[3, 2, 6, 3], [3, 8, 6, 4]]
    (record,) = read(make(rows, "parquet_sem_seg", CLASSES=["a", "b", "c"]))
    assert (read_sem_seg(record["sem_seg_file_name"]) == values).all()


def test_what_files_must_not_be(make, read, tmp_path):
    entry = make([{"image": PHOTO, "text": "x"}])
    with pytest.raises(DataError, match="no column 'objects'; it has image, text"):
        read(entry)
    with pytest.raises(ConfigError, match="exclude each other"):
        read({**entry, "LABEL_COLUMN": "a", "OBJECTS_COLUMN": "b"})
    with pytest.raises(DataError, match=r"row 0 .*'image' is not an image"):
        read(make([{"image": {"bytes": b"x", "path": None}, "objects": None}]))
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"a\.parquet is no Parquet file"):
        read(entry)
    with pytest.raises(MissingFileError, match="no Parquet file"):
        read({**entry, "FILES": str(tmp_path / "gone")})


@pytest.mark.parametrize(("flag", "crowd"), [("0", 0), ("1", 1), (True, 1), (None, 0), (0.0, 0)])
def test_flags_of_crowds_as_in_files_of_coco(make, read, flag, crowd):
    objects = [{"bbox": [2.0, 3, 12, 9], "label": "cat", "iscrowd": flag}]
    (record,) = read(make([{"image": PHOTO, "objects": objects}]))
    assert record["annotations"][0]["iscrowd"] == crowd
