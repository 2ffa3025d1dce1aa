"""The page as whoever reaches its port would misuse it: real requests to a real server."""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from tests.processes import python_command

pytest.importorskip("gradio", reason="gradio is not installed")
httpx = pytest.importorskip("httpx")

SERVER = """
import sys, threading, time, torch
from segsuite.data import Metadata
from segsuite.predict.serve import serve
from segsuite.structures import SemSegLogits
from segsuite.visualization import Prediction

lock = threading.Lock()

def predict(image):
    assert lock.acquire(blocking=False), "two at a time"
    try:
        time.sleep(float(sys.argv[1]))
        h, w = image.shape[:2]
        logits = SemSegLogits(torch.zeros(2, h, w), (h, w), (h, w))
        names = Metadata("m").set(stuff_classes=["a", "b"])
        return Prediction(image, {"sem_seg": logits}, names)
    finally:
        lock.release()

serve(predict, title="case", port=0, max_bytes=1 << 20, token=sys.argv[2] or None)
"""
META = {"_type": "gradio.FileData"}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts servers; each gives a client for its address."""
    processes = []

    def start(seconds=0, token=""):
        folder = tmp_path_factory.mktemp("server")
        command = python_command("-c", SERVER, seconds, token)
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        processes.append(process)
        deadline = time.monotonic() + 300
        while not (at := re.search(r"http://127\.0\.0\.1:\d+", (folder / "log").read_text())):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return httpx.Client(base_url=at[0], trust_env=False, timeout=120)

    yield start
    for process in processes:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def client(start):
    return start()


def png(mode="RGB", size=(20, 20)):
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """An image of the server's disk that nobody has uploaded."""
    path = tmp_path_factory.mktemp("far") / "secret.png"
    path.write_bytes(png())
    return path


def upload(client, content=None, name="a.png"):
    answer = client.post("/gradio_api/upload", files={"files": (name, content or png())})
    answer.raise_for_status()
    return answer.json()[0]


def ask(client, file):
    """The events that answer a request for the prediction of a file."""
    answer = client.post("/gradio_api/call/predict", json={"data": [file]})
    if answer.status_code != 200:
        return answer.text
    return client.get(f"/gradio_api/call/predict/{answer.json()['event_id']}").text


def test_an_upload_is_predicted(client):
    found = ask(client, {"path": upload(client), "meta": META})
    assert "event: complete" in found
    served = re.search(r'"path": "([^"]+)"', found)[1]
    assert client.get(f"/gradio_api/file={served}").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "10.0.0.1"]
)
def test_a_name_of_somebody_else_that_leads_here(start, client, host):
    """DNS rebinding: a browser takes the page for one of the site that it looks at."""
    headers = {"Host": host}
    for path in ("/", "/config", "/gradio_api/info"):
        assert client.get(path, headers=headers).status_code in (400, 403)
    files = {"files": ("a.png", png())}
    refused = client.post("/gradio_api/upload", files=files, headers=headers)
    assert refused.status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7860", "127.0.0.1:7860", "[::1]:7860"])
def test_names_of_this_machine(client, host):
    assert client.get("/config", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("route", ["call/predict", "queue/join"])
def test_no_file_of_the_server_is_predicted(client, secret, route):
    uploaded = upload(client)
    gone = secret.with_name("gone.png")
    climbing = f"{uploaded}/../../../../../../../../..{secret}"
    refusals = set()
    for path in (
        str(secret),
        str(gone),
        climbing,
        "secret.png",
        "",
        "/",
        "\0",
        7,
        None,
        [uploaded],
    ):
        body = {"data": [{"path": path, "meta": META}], "fn_index": 0, "session_hash": "s"}
        answer = client.post(f"/gradio_api/{route}", json=body)
        assert answer.status_code == 400, path
        refusals.add(answer.text)
    assert len(refusals) == 1  # whether the file is there makes no difference
    for data in (
        [str(secret)],
        str(secret),
        {"path": str(secret)},
        [[{"path": str(secret)}]],
        None,
    ):
        answer = client.post(f"/gradio_api/{route}", json={"data": data, "fn_index": 0})
        assert answer.status_code == 400, data
    # Of a key that is there twice, the gate and the page must not read different ones.
    twice = f'{{"path": {json.dumps(str(secret))}, "path": {json.dumps(uploaded)}}}'
    answer = client.post(
        "/gradio_api/call/predict",
        content=f'{{"data": [{twice}]}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200
    deep = '{"data": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert client.post(f"/gradio_api/{route}", content=deep).status_code == 400


def test_no_address_is_fetched(client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(2)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.png"
        refused = client.post(
            "/gradio_api/call/predict", json={"data": [{"path": address, "meta": META}]}
        )
        assert refused.status_code == 400
        found = ask(client, {"path": upload(client), "url": address, "meta": META})
        assert "event: complete" in found
        client.get(f"/gradio_api/file={address}")
        client.get(f"/gradio_api/proxy={address}")
        with pytest.raises(TimeoutError):
            listener.accept()


def test_no_file_of_the_server_is_served(client, secret):
    uploaded = upload(client)
    assert client.get(f"/gradio_api/file={uploaded}").content == png()
    answers = set()
    for path in (secret, secret.with_name("gone.png"), f"{uploaded}/../../../..{secret}"):
        for quoted in (str(path), str(path).replace("/", "%2F"), str(path).replace(".", "%2e")):
            answer = client.get(f"/gradio_api/file={quoted}")
            answers.add((answer.status_code, answer.text))
    assert {status for status, _ in answers} == {403} and len(answers) == 1


@pytest.mark.parametrize(
    "path",
    [
        *("docs", "redoc", "openapi.json", "gradio_api/openapi.json", "gradio_api/docs"),
        *("monitoring", "monitoring/summary", "gradio_api/queue/status", "gradio_api/runs"),
        *("gradio_api/custom_component/1/client/component/x.js", "file=/etc/passwd"),
    ],
)
def test_nothing_else_is_there(client, path):
    assert client.get(f"/{path}").status_code == 404
    for name in ("run/predict", "api/predict", "call/v2/predict", "component_server", path):
        body = {"data": [], "component_id": 1, "fn_name": "x", "session_hash": "s"}
        assert client.post(f"/gradio_api/{name}", json=body).status_code == 404
    assert client.put("/gradio_api/upload").status_code == 404


def test_large_images_are_not_decoded(client):
    started = time.monotonic()
    found = ask(client, {"path": upload(client, png("1", (12_000, 12_000))), "meta": META})
    assert "12000 x 12000 pixels, 144.0 million; up to 40 million are taken" in found
    assert time.monotonic() - started < 30


def test_formats_that_other_programs_read_are_refused(client):
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "EPS")
    found = ask(client, {"path": upload(client, file.getvalue(), "a.png"), "meta": META})
    assert "not an image that Pillow can read" in found


def test_uploads_are_bounded(client):
    noise = np.random.default_rng(0).bytes(2 << 20)
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", noise)})
    assert answer.status_code == 413
    answer = client.post("/gradio_api/upload", content=iter([b"without", b"a length"]))
    assert answer.status_code == 411


def test_one_at_a_time_and_few_that_wait(start):
    client = start(seconds=0.3)
    path = upload(client)

    def join(_):
        body = {"data": [{"path": path, "meta": META}]}
        return client.post("/gradio_api/call/predict", json=body)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(join, range(60)))
    accepted = [a.json()["event_id"] for a in answers if a.status_code == 200]
    assert 16 <= len(accepted) < 60  # the others are told to come later
    found = client.get(f"/gradio_api/call/predict/{accepted[0]}").text
    assert "event: complete" in found  # not "two at a time"
    assert threading.active_count() < 50


def test_a_token_is_asked_for(start):
    client = start(token="a-word_4")
    for given in ({}, {"params": {"token": "a-word"}}, {"headers": {"Authorization": "Bearer x"}}):
        assert client.get("/", **given).status_code == 401
        assert client.post("/gradio_api/upload", **given).status_code == 401
        assert client.get("/config", headers={"Cookie": "segsuite_token=; =;"}).status_code == 401
    bearer = client.get("/config", headers={"Authorization": "Bearer a-word_4"})
    assert bearer.status_code == 200
    client.cookies.clear()
    page = client.get("/", params={"token": "a-word_4"})
    assert page.status_code == 200 and "HttpOnly; SameSite=Strict" in page.headers["set-cookie"]
    assert client.get("/config").status_code == 200  # the cookie was kept
    assert "event: complete" in ask(client, {"path": upload(client), "meta": META})
