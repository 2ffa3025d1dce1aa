import numpy as np
import pytest
from PIL import Image

from segsuite.data import MetadataCatalog
from segsuite.errors import DataError, MissingFileError
from segsuite.structures import decode_masks, to_rle

META = "<meta><job><labels><label><name>cat</name></label><label><name>dog</name></label></labels>"


@pytest.fixture
def make(tmp_path):
    """An export of one image of 40 x 60 pixels (height x width)."""

    def make(shapes, root="annotations", image='name="a.jpg" subset="Train"'):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / "a.jpg")
        (tmp_path / "a.xml").write_text(
            f'<?xml version="1.0"?><{root}><version>1.1</version>{META}</job></meta>'
            f'<image id="0" {image} width="60" height="40">{shapes}</image></{root}>'
        )
        images = str(tmp_path / "images")
        return {"FORMAT": "cvat", "ANNOTATIONS": str(tmp_path / "a.xml"), "IMAGES": images}

    return make


def test_boxes_turned_boxes_and_ellipses(make, read):
    (record,) = read(
        make(
            '<box label="dog" xtl="4" ytl="4.5" xbr="20" ybr="16"/>'
            '<box label="dog" xtl="30" ytl="10" xbr="50" ybr="20" rotation="90"/>'
            '<ellipse label="cat" cx="30" cy="20" rx="10" ry="5" rotation="0"/>'
        )
    )
    assert MetadataCatalog.get("exchange_read").thing_classes == ["cat", "dog"]
    box, turned, ellipse = record["annotations"]
    assert box["bbox"] == [4, 4.5, 16, 11.5] and "segmentation" not in box
    assert np.allclose(turned["bbox"], [35, 5, 10, 20]) and len(turned["segmentation"]) == 1
    mask = decode_masks([to_rle(ellipse["segmentation"], 40, 60)], 40, 60)[0]
    assert abs(int(mask.sum()) - 157) < 8


def test_tags_and_lines_are_told_and_labels_left_out(make, read, caplog):
    entry = make(
        '<polyline label="cat" points="1,2;3,4"/><tag label="cat"/>'
        '<polygon label="dog" points="1,2;30,4;5,20"/>'
    )
    (record,) = read({**entry, "IGNORE_CLASSES": ["dog"]})
    assert record["annotations"] == []
    assert MetadataCatalog.get("exchange_read").thing_classes == ["cat"]
    assert "1 of the type 'polyline'" in caplog.text
    assert "1 of the ignored class 'dog'" in caplog.text


def test_subsets(make, read):
    entry = make("")
    assert len(read({**entry, "SUBSET": "Train"})) == 1
    with pytest.raises(DataError, match="no image of the subset 'val'; it has 'Train'"):
        read({**entry, "SUBSET": "val"})


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ('<polygon label="cat" points="1,2;3,4"/>', "polygon has 2 points"),
        ('<polygon label="cat" points="1,2;3;4,5"/>', "expected pairs of numbers"),
        ('<polygon label="bird" points="1,2;30,4;5,20"/>', "label 'bird'.*cat, dog"),
        ('<box label="cat" xtl="4" ytl="x" xbr="20" ybr="16"/>', "ytl 'x'; expected a number"),
        ('<mask label="cat" rle="3,4" left="1" top="1" width="4" height="2"/>', "add up to 7"),
        ('<mask label="cat" rle="1" left="1" top="1" width="9999999" height="2"/>', "9999999"),
        ('<mask label="cat" rle="9, -1" left="1" top="1" width="4" height="2"/>', "expected 2 *"),
        ('<star label="cat"/>', "<star> is unknown; expected polygon, box, ellipse, mask"),
    ],
)
def test_what_a_shape_must_not_be(make, read, shapes, message):
    with pytest.raises(DataError, match=rf"a\.xml, image 'a\.jpg', shape 0 .*{message}"):
        read(make(shapes))


def test_what_a_file_must_not_be(make, read, tmp_path):
    with pytest.raises(DataError, match="begins with <dataset>; expected CVAT's <annotations>"):
        read(make("", root="dataset"))
    with pytest.raises(MissingFileError, match=r"image 'b\.jpg' is of the image 'b\.jpg'"):
        read(make("", image='name="b.jpg"'))
    entry = make("")
    file = tmp_path / "a.xml"
    file.write_text("<annotations><track id='0'/></annotations>")
    with pytest.raises(DataError, match="exported as 'CVAT for video'"):
        read(entry)
    file.write_text('<!DOCTYPE a [<!ENTITY a "aa">]><annotations><image/></annotations>')
    with pytest.raises(DataError, match="defines entities"):
        read(entry)
    file.write_text("<annotations><image>")
    with pytest.raises(DataError, match="is not an XML file"):
        read(entry)
    file.write_text("<annotations/>")
    with pytest.raises(DataError, match="has no <image>"):
        read(entry)
