"""Every block of every page is executed, loaded or checked."""

from __future__ import annotations

import re

import pytest

from tests.helpers import REPO
from tests.test_architecture import FLOORS

from .pages import PAGES, lay_out, read_blocks
from .play import play

# Pages whose commands are run too: see test_stories.py.
STORIES = {
    "README.md",
    "docs/coming_from.md",
    "docs/extending.md",
    "docs/getting_started.md",
    "docs/own_dataset.md",
}


@pytest.mark.parametrize("page", [page for page in PAGES if page not in STORIES])
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(lay_out(tmp_path))
    play(page, tmp_path)


def test_stories_are_pages():
    assert set(PAGES) >= STORIES


def test_readme_lists_every_page():
    text = (REPO / "README.md").read_text()
    assert [page for page in PAGES if page != "README.md" and f"({page})" not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (REPO / page).read_text())
    folder = (REPO / page).parent
    assert [link for link in links if not (folder / link).exists()] == []


def test_the_plan_of_the_house_has_its_floors_and_tools():
    plan = read_blocks("docs/architecture.md")[0].text
    floors = {name: int(number) for number, name in re.findall(r"^(\d) (\w+)/", plan, re.M)}
    assert floors == FLOORS
    for tool in re.findall(r"\w+\.py", plan[plan.index("tools/") : plan.index("csrc/")]):
        assert (REPO / "tools" / tool).exists(), tool


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("```\nx\n```", "no test covers ''"),
        ("```ruby\nputs 1\n```", "no test covers 'ruby'"),
        ("```text\npython tools/demo.py\n```", "looks like code"),
        ("```python\n1 / 0\n```", "ZeroDivisionError"),
        ("```python\nprint(1)\n```\n```output\n2\n```", "printed is\n1"),
        ("```json\n{1: 2}\n```", "json"),
        ("```toml\na = \n```", "toml"),
        ("```yaml\nSOLVER: {BASE_LRR: 1.0}\n```", "did you mean SOLVER.BASE_LR"),
        ("```yaml\nDATASETS: {TEST: [nowhere]}\n```", "no data set 'nowhere'"),
        ("```sh\nfor x in 1\n```", "bash"),
        ("```sh\ncurl x\n```", "curl: command not found"),
        ("```sh\nmake everything\n```", "make everything"),
        ("```sh\npip install segsuite-torch[cocoa]\n```", "no extra 'cocoa'"),
        ("```sh\npython tools/trian_net.py\n```", "there is no tools/trian_net.py"),
        ("```sh\nsegsuite report out --port 1\n```", "unrecognized arguments: --port 1"),
        ("```sh\nsegsuite trian\n```", "no command segsuite trian"),
        ("```sh\npython tools/report.py out --port 1\n```", "unrecognized arguments: --port 1"),
        ("```sh\npython tools/check_data.py camvid_trian\n```", "no data set 'camvid_trian'"),
        ("```sh\npython tools/train_net.py --config-file a.yaml\n```", "a.yaml"),
        (
            "```sh\npython tools/train_net.py --config-file configs/demo.yaml SOLVER.STEP 1\n```",
            "did you mean SOLVER.STEPS",
        ),
        ("```sh\npython setup.py build_exe\n```", "build_exe"),
        ("```python\nopen", "does not end"),
    ],
)
def test_mistakes_are_found(block, message, tmp_path, monkeypatch):
    monkeypatch.chdir(lay_out(tmp_path))
    (tmp_path / "page.md").write_text(block + "\n")
    with pytest.raises((AssertionError, ValueError), match=message):
        play(str(tmp_path / "page.md"), tmp_path)
