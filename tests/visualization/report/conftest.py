from __future__ import annotations

import pytest

from tests.browsers import chromium


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser
