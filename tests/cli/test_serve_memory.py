"""The page of `segsuite serve` after many requests: neither memory nor files pile up."""

from __future__ import annotations

import io
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.finished_runs import tiny_run
from tests.processes import PATIENCE, python_command, wait_until

pytestmark = pytest.mark.slow

REQUESTS, FIRST = 500, 50
MIB = 1 << 20


class Page:
    """A page in a process of its own, asked as other programs ask it: each request is a session."""

    def __init__(self, process: subprocess.Popen, port: int, folder: Path):
        import httpx

        self.process = process
        self.folder = folder
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}/gradio_api", timeout=PATIENCE)

    def ask(self, image: bytes, name: str) -> list[bytes]:
        """The pictures that the page answers with."""
        upload = self.client.post("/upload", files={"files": (name, image, "image/png")})
        (path,) = upload.raise_for_status().json()
        asked = self.client.post("/call/predict", json={"data": [{"path": path}]})
        event = asked.raise_for_status().json()["event_id"]
        answer = self.client.get(f"/call/predict/{event}").text
        assert "event: complete" in answer, answer
        pictures, _, _ = json.loads(answer.rpartition("data: ")[2])
        return [self.client.get(f"/file={picture['path']}").content for picture in pictures]

    def memory(self) -> float:
        """What it has of its own, resident or swapped out, in MiB; not files that are mapped, whose
        pages come and go."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return sum(map(int, re.findall(r"(?:RssAnon|VmSwap):\s+(\d+) kB", status))) / 1024

    def kept(self) -> float:
        """What lies in its folder, in MiB."""
        return sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file()) / MIB


@contextmanager
def serving(folder: Path, *options: object) -> Iterator[Page]:
    log = folder / "log"
    (folder / "files").mkdir()
    command = python_command(
        "-m", "segsuite", "serve", "--run-dir", tiny_run(), "--port", 0, *options
    )
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder / "files"),
        # oneDNN keeps kernels of the last 1024 shapes; of so small a model those of 100 sizes.
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    }
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        there = wait_until(
            lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, PATIENCE
        )
        address = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
        assert there and address, log.read_text()
        yield Page(process, int(address[1]), folder / "files")
    finally:
        process.terminate()
        process.wait(PATIENCE)


def image(rng: random.Random) -> bytes:
    height, width = rng.randint(40, 500), rng.randint(40, 500)
    noise = np.random.default_rng(rng.randrange(2**32)).integers(
        0, 255, (height // 8, width // 8, 3)
    )
    file = io.BytesIO()
    Image.fromarray(noise.astype(np.uint8)).resize((width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux's /proc")
def test_memory_is_flat(tmp_path):
    pytest.importorskip("gradio", reason="gradio is not installed")
    rng = random.Random(0)
    with serving(tmp_path) as page:
        measured = {}
        for number in range(1, REQUESTS + 1):
            pictures = page.ask(image(rng), f"{number}.png")
            assert len(pictures) == 2 and all(
                content.startswith(b"\x89PNG") for content in pictures
            )
            if number % FIRST == 0:
                measured[number] = page.memory()
                print(number, round(measured[number], 1), round(page.kept(), 1), flush=True)
    assert measured[REQUESTS] < measured[FIRST] + 30, measured
