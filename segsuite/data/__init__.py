"""Data sets, their transforms, and the loaders that feed training and evaluation."""

from typing import TYPE_CHECKING

from segsuite.utils.lazy import lazy_names

from .catalog import DatasetCatalog, Metadata, MetadataCatalog
from .datasets import (
    datasets_root,
    load_coco_json,
    load_coco_panoptic,
    records_to_coco,
    register_coco_instances,
    register_coco_panoptic,
    register_cvat,
    register_from_config,
    register_instance_maps,
    register_label_studio,
    register_labelme,
    register_lvis_instances,
    register_parquet,
    register_parquet_sem_seg,
    register_sem_seg_folder,
    register_supervisely,
    register_voc_instances,
    register_yolo,
)
from .image import ImageReader, read_image
from .palette import default_colors
from .panoptic import read_panoptic
from .records import RecordSequence, cached_records
from .sem_seg import IGNORE_LABEL, colors_to_labels, read_sem_seg

if TYPE_CHECKING:
    from .build import (
        build_detection_test_loader,
        build_detection_train_loader,
        build_test_loader,
        build_train_loader,
        get_records,
    )
    from .checks import check_datasets, check_instance_dataset, check_semantic_dataset
    from .inference import InferenceMapper
    from .loader import MappedDataset, MappedLoader
    from .mapper import DatasetMapper
    from .randomness import numbered_generator, position_rng, seeded_globals
    from .samplers import (
        SAMPLER_REGISTRY,
        InferenceSampler,
        PositionSampler,
        RepeatFactorTrainingSampler,
        TrainingBatches,
        TrainingSampler,
        build_train_sampler,
    )
    from .statistics import compute_class_weights, label_histogram

__all__ = [
    "IGNORE_LABEL",
    "SAMPLER_REGISTRY",
    "DatasetCatalog",
    "DatasetMapper",
    "ImageReader",
    "InferenceMapper",
    "InferenceSampler",
    "MappedDataset",
    "MappedLoader",
    "Metadata",
    "MetadataCatalog",
    "PositionSampler",
    "RecordSequence",
    "RepeatFactorTrainingSampler",
    "TrainingBatches",
    "TrainingSampler",
    "build_detection_test_loader",
    "build_detection_train_loader",
    "build_test_loader",
    "build_train_loader",
    "build_train_sampler",
    "cached_records",
    "check_datasets",
    "check_instance_dataset",
    "check_semantic_dataset",
    "colors_to_labels",
    "compute_class_weights",
    "datasets_root",
    "default_colors",
    "get_records",
    "label_histogram",
    "load_coco_json",
    "load_coco_panoptic",
    "numbered_generator",
    "position_rng",
    "read_image",
    "read_panoptic",
    "read_sem_seg",
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
    "seeded_globals",
]

__getattr__, __dir__ = lazy_names(__name__)
