"""The examples of the documentation run."""

import re
import sys

import pytest

from tests.helpers import REPO

BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)


@pytest.mark.parametrize("page", ["extending.md", "inference.md", "weights.md"])
def test_examples(page, tmp_path, monkeypatch):
    """Blocks with a file name are written to it, other Python blocks are executed in order."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    executed = 0
    for language, filename, text in BLOCK.findall((REPO / "docs" / page).read_text()):
        if filename:
            (tmp_path / filename).write_text(text)
        elif language == "python":
            exec(compile(text, f"{page}, example {executed + 1}", "exec"), {})
            executed += 1
    assert executed
    for name in [n for n in sys.modules if (tmp_path / f"{n}.py").exists()]:
        monkeypatch.delitem(sys.modules, name)
