from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.helpers import SHARED

# A slow or busy machine is no failure.
settings.register_profile("segsuite", deadline=None)
settings.load_profile("segsuite")


def pytest_configure(config: pytest.Config) -> None:
    # Shells start background jobs with Ctrl-C ignored, and what is ignored is inherited by the
    # processes that tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _log_not_set_up() -> None:
    """A run that an earlier test set up keeps the log to itself, unseen by `caplog`."""
    logger = logging.getLogger("segsuite")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The user's cache is neither read nor written, nor by processes that tests start."""
    os.environ["SEGSUITE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datasets folder, made once for the test session, that holds the generated shapes set."""
    from segsuite.data.datasets.shapes import ensure_shapes

    root = tmp_path_factory.mktemp("datasets")
    ensure_shapes(root)
    if (SHARED / "data" / "camvid").is_dir():
        (root / "camvid").symlink_to(SHARED / "data" / "camvid")
    return root


@pytest.fixture
def datasets_root(shapes_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point SEGSUITE_DATASETS at a folder with the shapes set and, where it is there, CamVid."""
    monkeypatch.setenv("SEGSUITE_DATASETS", str(shapes_root))
    return shapes_root


@pytest.fixture
def registered() -> Iterator[Callable[..., Any]]:
    """``registered(REGISTRY)`` decorates, ``registered(REGISTRY)(obj, name="x")`` registers, and
    after the test it is forgotten."""
    added = []

    def of(registry: Any) -> Callable[..., Any]:
        def register(obj: Any, name: str | None = None) -> Any:
            added.append((registry, name or obj.__name__))
            return registry.register(obj, name=name)

        return register

    yield of
    for registry, name in added:
        registry.remove(name)
