"""Data sets, their transforms, and the loaders that feed training and evaluation."""

from .build import (
    MappedRecords,
    MappedStream,
    TrainLoader,
    build_test_loader,
    build_train_loader,
    get_records,
)
from .catalog import DatasetCatalog, Metadata, MetadataCatalog
from .datasets import datasets_root, register_from_config, register_sem_seg_folder
from .image import read_image
from .mapper import DatasetMapper
from .samplers import InferenceSampler, TrainingBatches, TrainingStream
from .sem_seg import IGNORE_LABEL, read_sem_seg

__all__ = [
    "IGNORE_LABEL",
    "DatasetCatalog",
    "DatasetMapper",
    "InferenceSampler",
    "MappedRecords",
    "MappedStream",
    "Metadata",
    "MetadataCatalog",
    "TrainLoader",
    "TrainingBatches",
    "TrainingStream",
    "build_test_loader",
    "build_train_loader",
    "datasets_root",
    "get_records",
    "read_image",
    "read_sem_seg",
    "register_from_config",
    "register_sem_seg_folder",
]
