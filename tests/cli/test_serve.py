"""`segsuite serve` as a user has it: the process, its programming interface, the page."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segsuite.predict.serve import serve
from tests.finished_runs import tiny_images, tiny_run
from tests.processes import python_command, run_python
from tests.visualization.report.conftest import browser

__all__ = ["browser"]  # a fixture


def listens(host: str, port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex((host, port)) == 0


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The port of a page at 127.0.0.1."""
    pytest.importorskip("gradio", reason="gradio is not installed")
    folder = tmp_path_factory.mktemp("serve")
    # Port 0 is a free one.
    options = ["--run-dir", tiny_run(), "--port", 0, "--max-upload-mb", 1]
    command = python_command("-m", "segsuite", "serve", *options)
    with (folder / "log").open("w") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    deadline = time.monotonic() + 300
    while "Ctrl-C" not in (folder / "log").read_text():
        assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.2)
    address = re.search(r"tiny at http://127\.0\.0\.1:(\d+)", (folder / "log").read_text())
    yield int(address[1])
    process.terminate()
    process.wait(timeout=60)
    assert [file.name for file in folder.iterdir()] == ["log"]  # no upload is left


def test_an_image_is_answered(page):
    from gradio_client import Client, handle_file

    client = Client(f"http://127.0.0.1:{page}", verbose=False, analytics_enabled=False)
    pictures, legend, confidence = client.predict(
        handle_file(str(tiny_images()[0])), api_name="/predict"
    )
    assert len(pictures) == 2 and all(Path(file).stat().st_size for file in pictures)
    assert 'id="found"' in legend and "ground" in legend
    assert confidence["visible"] and Path(confidence["value"]).stat().st_size


def test_what_is_no_image_or_too_large_is_refused(page, tmp_path):
    from gradio_client import Client, handle_file

    client = Client(f"http://127.0.0.1:{page}", verbose=False, analytics_enabled=False)
    (tmp_path / "notes.jpg").write_text("no image")
    with pytest.raises(Exception, match=r"8 bytes of notes\.jpg are not an image"):
        client.predict(handle_file(str(tmp_path / "notes.jpg")), api_name="/predict")
    shutil.copy(tiny_images()[0], tmp_path / "large.png")
    with (tmp_path / "large.png").open("ab") as file:
        file.write(bytes(2 << 20))
    with pytest.raises(Exception, match=r"413|size"):
        client.predict(handle_file(str(tmp_path / "large.png")), api_name="/predict")


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is another address on Linux alone")
def test_other_addresses_are_not_listened_at(page):
    assert listens("127.0.0.1", page) and not listens("127.0.0.2", page)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(page, browser, tmp_path, width):
    elsewhere = []
    tab = browser.new_page(viewport={"width": width, "height": 900})
    address = f"http://127.0.0.1:{page}"
    tab.on("request", lambda r: r.url.startswith((address, "data:")) or elsewhere.append(r.url))
    tab.goto(address)
    upload = tab.locator("input[type=file]")
    upload.wait_for(state="attached", timeout=120_000)
    upload.set_input_files(tiny_images()[0])
    tab.locator("#found").wait_for(timeout=120_000)
    assert tab.locator("#found tbody tr").count() >= 1
    assert tab.evaluate("document.documentElement.scrollWidth") == width

    (tmp_path / "notes.jpg").write_text("no image")
    tab.reload()
    upload.wait_for(state="attached", timeout=120_000)
    upload.set_input_files(tmp_path / "notes.jpg")
    tab.get_by_text("are not an image").wait_for(timeout=120_000)
    assert elsewhere == []
    tab.close()


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = rf"can't listen at 127\.0\.0\.1:{port} .*choose another --port"
        with pytest.raises(OSError, match=message):
            serve(None, title="tiny", port=port)


def test_a_token_is_a_word_that_an_address_can_have():
    options = ["--run-dir", tiny_run(), "--token", "two words"]
    done = run_python("-m", "segsuite", "serve", *options)
    assert done.returncode == 2 and "--token 'two words': expected letters" in done.stderr
