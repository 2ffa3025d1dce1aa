"""Data sets that are built in, and the formats that a data set of one's own may have."""

from .ade20k import register_ade20k
from .camvid import register_camvid
from .cityscapes import register_cityscapes
from .coco import load_coco_json, register_coco_instances, register_lvis_instances
from .coco_builtin import register_coco_builtin
from .coco_panoptic import load_coco_panoptic, register_coco_panoptic
from .coco_records import records_to_coco
from .coco_sem_seg import register_coco_sem_seg
from .cvat import register_cvat
from .folder import load_sem_seg_folder, register_sem_seg_folder
from .from_config import register_from_config
from .instance_maps import register_instance_maps, register_voc_instances
from .label_studio import register_label_studio
from .labelme import register_labelme
from .parquet import register_parquet, register_parquet_sem_seg
from .root import datasets_root
from .shapes import ensure_shapes, register_shapes
from .shapes_panoptic import register_shapes_panoptic
from .supervisely import register_supervisely
from .voc import register_voc
from .yolo import register_yolo

__all__ = [
    "datasets_root",
    "ensure_shapes",
    "load_coco_json",
    "load_coco_panoptic",
    "load_sem_seg_folder",
    "records_to_coco",
    "register_coco_instances",
    "register_coco_panoptic",
    "register_cvat",
    "register_from_config",
    "register_instance_maps",
    "register_label_studio",
    "register_labelme",
    "register_lvis_instances",
    "register_parquet",
    "register_parquet_sem_seg",
    "register_sem_seg_folder",
    "register_supervisely",
    "register_voc_instances",
    "register_yolo",
]

register_ade20k()
register_camvid()
register_cityscapes()
register_coco_builtin()
register_coco_sem_seg()
register_shapes()
register_shapes_panoptic()
register_voc()
