import base64
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from segsuite.data import MetadataCatalog
from segsuite.errors import DataError, MissingFileError

from .exports import png

SQUARE = {"exterior": [[4, 4], [20, 4], [20, 16], [4, 16]], "interior": []}


@pytest.fixture
def make(tmp_path):
    """A project of one image of 40 x 60 pixels (height x width)."""

    def make(*objects, meta=None):
        for folder in ("img", "ann"):
            (tmp_path / "ds" / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "ds" / "img" / "a.jpg")
        classes = [{"title": "dog", "shape": "polygon"}, {"title": "cat", "shape": "bitmap"}]
        (tmp_path / "meta.json").write_text(json.dumps(meta or {"classes": classes}))
        content = {"size": {"height": 40, "width": 60}, "objects": list(objects)}
        (tmp_path / "ds" / "ann" / "a.jpg.json").write_text(json.dumps(content))
        return {"FORMAT": "supervisely", "PROJECT": str(tmp_path)}

    return make


def figure(kind, **keys):
    return {"id": 8, "classTitle": "cat", "geometryType": kind, **keys}


def bitmap(content):
    return figure("bitmap", bitmap={"origin": [3, 2], "data": base64.b64encode(content).decode()})


def test_rectangles_lines_and_the_order_of_classes(make, read, caplog):
    corners = {"exterior": [[4, 16], [20, 4]], "interior": []}
    (record,) = read(make(figure("rectangle", points=corners), figure("line", points=corners)))
    (annotation,) = record["annotations"]
    assert annotation["bbox"] == [4, 4, 16, 12] and "segmentation" not in annotation
    assert MetadataCatalog.get("exchange_read").thing_classes == ["dog", "cat"]
    assert "1 of the type 'line'" in caplog.text


def test_bitmaps_with_transparency_and_what_is_too_large(make, read):
    pixels = np.zeros((6, 8, 4), np.uint8)
    pixels[2:5, 1:7, 3] = 255
    (record,) = read(make(bitmap(zlib.compress(png(pixels)))))
    assert record["annotations"][0]["bbox"] == [4, 4, 6, 3]
    with pytest.raises(DataError, match=r"a\.jpg\.json, object 8 .*unpacks to more than"):
        read(make(bitmap(zlib.compress(bytes(50_000_000)))))
    with pytest.raises(DataError, match="bitmap is 41000 x 6, the image 40 x 60"):
        read(make(bitmap(zlib.compress(png(np.ones((41000, 6), bool))))))
    with pytest.raises(DataError, match="no PNG in base64"):
        read(make(bitmap(b"nothing")))


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (figure("polygon", points={"exterior": [[1, 2]], "interior": []}), "1 points; expected 3"),
        (figure("polygon", points={**SQUARE, "interior": [[[1, 2]]]}), "1 points; expected 3"),
        (figure("polygon"), "expected a polygon, rectangle or bitmap"),
        (figure("alpha_mask", points=SQUARE), "geometryType is 'alpha_mask'"),
        (figure("bitmap"), "has no 'bitmap'"),
        ({**figure("polygon", points=SQUARE), "classTitle": "cow"}, "label 'cow'.*dog, cat"),
    ],
)
def test_what_a_figure_must_not_be(make, read, drawn, message):
    with pytest.raises(DataError, match=rf"a\.jpg\.json, object 8.*{message}"):
        read(make(drawn))


def test_what_a_project_must_not_be(make, read, tmp_path):
    entry = make(figure("polygon", points=SQUARE))
    assert len(read({**entry, "DATASETS": ["ds"]})) == 1
    with pytest.raises(MissingFileError, match="no data set 'val'; it has ds"):
        read({**entry, "DATASETS": ["val"]})
    with pytest.raises(DataError, match="has no list 'classes'"):
        read(make(meta={"tags": []}))
    make()
    (tmp_path / "ds" / "img" / "a.jpg").unlink()
    with pytest.raises(MissingFileError, match=r"a\.jpg\.json is of the image .*img/a\.jpg"):
        read(entry)
    with pytest.raises(MissingFileError, match=r"no .*ds/meta\.json"):
        read({**entry, "PROJECT": str(tmp_path / "ds")})
