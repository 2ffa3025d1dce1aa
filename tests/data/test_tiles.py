import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import DatasetCatalog, DatasetMapper, MetadataCatalog, build_train_loader
from segsuite.data.build import get_training_records
from segsuite.data.image import ImageReader
from segsuite.data.tiles import read_tile, tile_records, tiles_of
from segsuite.errors import ConfigError, DataError
from segsuite.structures import decode_masks, encode_masks, to_rle

SIZE = (90, 130)
SMALL = [10.0, 12, 22, 12, 22, 30, 10, 30]
LONG = [35.0, 50, 120, 55, 110, 80, 40, 70]


@pytest.fixture
def record(tmp_path):
    """An image with a polygon, an object of run lengths with a hole, and a crowd."""
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ring = np.zeros(SIZE, bool)
    ring[40:85, 50:100] = True
    ring[50:60, 60:90] = False
    rle = encode_masks(torch.from_numpy(ring)[None])[0]
    annotations = [
        {"bbox": [10, 12, 12, 18], "category_id": 0, "segmentation": [np.array(SMALL)]},
        {"bbox": [35, 50, 85, 30], "category_id": 1, "segmentation": [np.array(LONG)]},
        {"bbox": [50, 40, 50, 45], "category_id": 0, "segmentation": rle},
        {"bbox": [100, 0, 30, 20], "category_id": 0, "segmentation": rle, "iscrowd": 1},
    ]
    sizes = {"height": SIZE[0], "width": SIZE[1]}
    file = str(tmp_path / "a.png")
    return {"file_name": file, "image_id": 1, **sizes, "annotations": annotations}


def masks(record):
    rles = [to_rle(a["segmentation"], *SIZE) for a in record["annotations"]]
    return decode_masks(rles, *SIZE).numpy()


@pytest.mark.parametrize("overlap", [0, 0.25, 0.9])
@pytest.mark.parametrize("size", [(90, 130), (64, 64), (65, 200), (200, 1)])
def test_tiles_cover_the_image(size, overlap):
    seen = np.zeros(SIZE, int)
    for top, left, bottom, right in tiles_of(SIZE, size, overlap):
        assert (bottom - top, right - left) == (min(size[0], SIZE[0]), min(size[1], SIZE[1]))
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 1
    assert len(list(tiles_of((64, 64), size, overlap))) >= 1


def test_samples_are_the_parts_of_the_image(record):
    whole = np.asarray(Image.open(record["file_name"]))
    tiled = tile_records([record], (64, 64), 0.25, keep_empty=True)
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[],
        image_format="RGB",
        use_instance_mask=True,
        instance_mask_format="bitmask",
        recompute_boxes=True,
    )
    assert len(tiled) == 2 * 3
    true = masks(record)[:3]
    for part in tiled:
        top, left, bottom, right = part["tile"]
        sample = mapper(part)
        assert (sample["height"], sample["width"]) == (64, 64)
        expected = whole[top:bottom, left:right].transpose(2, 0, 1)
        assert (sample["image"].numpy() == expected).all()
        parts = [m[top:bottom, left:right] for m in true]
        seen = [m for m in parts if m.any()]
        found = sample["instances"].gt_masks.tensor.numpy()
        assert len(found) == len(seen)
        for mask, expected in zip(found, seen, strict=True):
            # A polygon is cut before it is drawn: at the cut pixels may differ.
            assert (mask != expected).sum() <= 0.02 * mask.size
        ring = [m for m in found if any((m == p).all() for p in parts[2:])]
        assert len(ring) == parts[2].any()


def test_tiles_without_an_object_are_left_out(record):
    empty = {**record, "annotations": []}
    tiled = tile_records([empty, record], (30, 30), 0, keep_empty=False)
    assert {tuple(r["tile"][:2]) for r in tiled} == {
        *((0, 0), (30, 30), (30, 60), (30, 90), (30, 100)),
        *((60, 30), (60, 60), (60, 90), (60, 100)),
    }
    assert all(t == 1 for t in tiled.tiles[:, 0])
    assert len(tiled.select(np.array([0, 2]))) == 2
    with pytest.raises(DataError, match="no tile of the training images has an object"):
        tile_records([empty], (30, 30), 0, keep_empty=False)
    with pytest.raises(ConfigError, match=r"SIZE is \[0, 30\], OVERLAP 0"):
        tile_records([record], [0, 30], 0, keep_empty=True)


@pytest.mark.parametrize("task", ["objects", "labels"])
def test_training_reads_tiles(record, tmp_path, task):
    name = "tiles_train"
    if task == "labels":
        labels = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 5
        Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels.png")
        record = {**record, "sem_seg_file_name": str(tmp_path / "labels.png")}
        del record["annotations"]
    DatasetCatalog.register(name, lambda: [record])
    MetadataCatalog.get(name).set(thing_classes=["a", "b"], stuff_classes=list("abcde"))
    try:
        cfg = get_cfg()
        cfg.DATASETS.TRAIN = (name,)
        cfg.DATALOADER.NUM_WORKERS = 0
        cfg.MODEL.MASK_ON = True
        cfg.INPUT.MIN_SIZE_TRAIN = (0,)
        cfg.INPUT.RANDOM_FLIP = "none"
        cfg.INPUT.TILES.ENABLED, cfg.INPUT.TILES.SIZE = True, [40, 50]
        cfg.SOLVER.IMS_PER_BATCH = 4
        assert len(get_training_records(cfg)) >= 6
        batch = next(iter(build_train_loader(cfg)))
        for sample in batch:
            assert sample["image"].shape == (3, 40, 50)
            if task == "labels":
                assert sample["sem_seg"].shape == (40, 50)
            else:
                assert sample["instances"].image_size == (40, 50)
    finally:
        DatasetCatalog.remove(name)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_windows_of_a_tiff_are_those_of_the_whole(tmp_path, dtype, monkeypatch):
    rasterio = pytest.importorskip("rasterio")
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (3, 300, 400), dtype)
    profile = {"driver": "GTiff", "count": 3, "height": 300, "width": 400, "dtype": dtype}
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "photometric": "RGB"}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, **tiles) as file:
        file.write(pixels)
    reader = ImageReader(channels=3)
    whole = reader.read(tmp_path / "a.tif")

    def decode_whole(*_):
        raise AssertionError("the whole file is decoded")

    with monkeypatch.context() as patch:
        patch.setattr(ImageReader, "read", decode_whole)
        window, size = read_tile(tmp_path / "a.tif", (100, 130, 164, 200), reader)
    assert size == (300, 400)
    assert (window == whole[100:164, 130:200]).all()
    relative = ImageReader(channels=3, value_range=["2%", "98%"])
    window, size = read_tile(tmp_path / "a.tif", (100, 130, 164, 200), relative)
    assert (window == relative.read(tmp_path / "a.tif")[100:164, 130:200]).all()
