"""The data sets that exist: records in `DatasetCatalog`, facts in `MetadataCatalog`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from segsuite.errors import ConfigError, NameTakenError, UnknownNameError
from segsuite.utils.registry import unknown_name

from .palette import Color, default_colors

# Of label 0 where a data set names one class.
_BACKGROUND = "background"
_BACKGROUND_COLOR = (64, 64, 64)


class _DatasetCatalog:
    """Data sets by name, each a function that returns its list of records.

    A record is a dict with ``file_name`` and ``image_id``; ``sem_seg_file_name`` for a label map;
    ``height`` and ``width`` where the source tells them; ``annotations`` for instances.
    """

    def __init__(self) -> None:
        self._loaders: dict[str, Callable[[], Sequence[dict]]] = {}

    def register(self, name: str, func: Callable[[], Sequence[dict]]) -> None:
        """Add a data set; `func` is called each time its records are asked for, and gives a list,
        or a `RecordSequence`, which takes less memory.

        Raises:
            NameTakenError: the name is taken.
        """
        if name in self._loaders:
            raise NameTakenError(
                f"data set '{name}' is already registered; choose another name, or call "
                f"DatasetCatalog.remove('{name}') first"
            )
        self._loaders[name] = func

    def get(self, name: str) -> list[dict]:
        """Load the records of a data set, as a list of one's own to change.

        Raises:
            UnknownNameError: there is none of that name; the message lists those that exist.
        """
        records = self.open(name)
        return records if isinstance(records, list) else list(records)

    def open(self, name: str) -> Sequence[dict]:
        """The records of a data set as its function gives them, which may be a `RecordSequence`.

        Raises:
            UnknownNameError: as `get`.
        """
        if name not in self._loaders:
            problem = unknown_name(name, self._loaders, "DatasetCatalog")
            if os.path.isdir(name):
                problem += (
                    " It is a folder: DATASETS.REGISTER in a configuration makes a data set of it, "
                    "with a name and labels."
                )
            raise UnknownNameError(problem)
        return self._loaders[name]()

    def list(self) -> list[str]:
        """The names of all data sets, sorted."""
        return sorted(self._loaders)

    def remove(self, name: str) -> None:
        """Forget a data set and its metadata."""
        if name not in self._loaders:
            raise UnknownNameError(unknown_name(name, self._loaders, "DatasetCatalog"))
        del self._loaders[name]
        MetadataCatalog.remove(name)

    def __contains__(self, name: str) -> bool:
        return name in self._loaders


class Metadata:
    """Facts about one data set, read as attributes and set once.

    For semantic segmentation: ``stuff_classes`` (names by class id), ``stuff_colors`` (RGB
    tuples), ``ignore_label`` (the value of pixels that do not count, after `label_map`),
    ``label_map`` (stored value -> class id, or None where label maps store class ids) and
    ``evaluator_type``. A single class is label 1, and label 0 is background, see
    `semantic_labels`. For instances: ``thing_classes``, ``thing_colors``,
    ``thing_dataset_id_to_contiguous_id`` (category id -> class id), ``json_file``, ``image_root``
    and ``evaluator_type``.
    """

    def __init__(self, name: str) -> None:
        self.__dict__["name"] = name
        self.__dict__["_later"] = {}

    def __getattr__(self, key: str) -> Any:
        # Only reached for what is not set; copy and pickle probe for dunder methods.
        if key.startswith("__"):
            raise AttributeError(key)
        if key in self._later:
            return self._later[key]()
        raise AttributeError(
            f"metadata of data set '{self.name}': " + unknown_name(key, self.as_dict(), "metadata")
        )

    def __setattr__(self, key: str, value: Any) -> None:
        old = self.__dict__.get(key, value)
        if old != value:
            raise ConfigError(
                f"metadata of data set '{self.name}': {key} is already {old!r} and can't become "
                f"{value!r}; register the data set under another name"
            )
        self.__dict__[key] = value

    def set(self, **facts: Any) -> Metadata:
        """Set several facts at once and return self.

        Raises:
            ConfigError: one is already set to another value.
        """
        for key, value in facts.items():
            setattr(self, key, value)
        return self

    def replace(self, **facts: Any) -> Metadata:
        """Set facts anew, whatever they were, and return self."""
        self.__dict__.update(facts)
        return self

    def set_later(self, **functions: Callable[[], Any]) -> Metadata:
        """Set facts that are asked of a function each time, such as paths in `datasets_root`."""
        self._later.update(functions)
        return self

    def get(self, key: str, default: Any = None) -> Any:
        """A fact, or `default` where it is not set."""
        return getattr(self, key) if key in self.__dict__ or key in self._later else default

    def semantic_labels(self) -> list[str]:
        """The name of each value in label maps: ``stuff_classes``, with "background" before a
        single class, which is label 1.

        Raises:
            AttributeError: there are no ``stuff_classes``.
        """
        return label_names(self.stuff_classes)

    def semantic_colors(self) -> list[Color]:
        """The RGB colour of each of `semantic_labels`: ``stuff_colors``, or the default ones."""
        classes = self.stuff_classes
        colors = [*(self.get("stuff_colors") or default_colors(len(classes)))]
        return [_BACKGROUND_COLOR, *colors] if len(colors) == 1 else colors

    def as_dict(self) -> dict[str, Any]:
        """All facts."""
        facts = {key: value for key, value in self.__dict__.items() if key != "_later"}
        return {key: function() for key, function in self._later.items()} | facts

    def __repr__(self) -> str:
        return f"Metadata({', '.join(f'{k}={v!r}' for k, v in self.as_dict().items())})"


def label_names(classes: Sequence[str]) -> list[str]:
    """The name of each value in label maps of these classes, see `Metadata.semantic_labels`."""
    if len(classes) != 1:
        return list(classes)
    taken = classes[0].casefold() == _BACKGROUND
    return [f"not {classes[0]}" if taken else _BACKGROUND, *classes]


class _MetadataCatalog:
    """Metadata by data set name, made empty when first asked for."""

    def __init__(self) -> None:
        self._metadata: dict[str, Metadata] = {}

    def get(self, name: str) -> Metadata:
        """The metadata of a data set; the same object at each call."""
        return self._metadata.setdefault(name, Metadata(name))

    def list(self) -> list[str]:
        """The names that have metadata, sorted."""
        return sorted(self._metadata)

    def remove(self, name: str) -> None:
        """Forget the metadata of a data set, if there is any."""
        self._metadata.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.list())


DatasetCatalog = _DatasetCatalog()
MetadataCatalog = _MetadataCatalog()
