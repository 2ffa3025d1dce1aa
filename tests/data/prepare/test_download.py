"""Downloads from a server on this machine that breaks connections and resumes."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from segsuite.data.prepare import check_file, download
from segsuite.errors import FileAccessError

CONTENT = np.random.default_rng(0).bytes(3 << 20)


class Server(ThreadingHTTPServer):
    """Serves CONTENT as /file; notes the Range of each request.

    Attributes:
        cut: bytes after which each of the first connections breaks.
        knows_ranges: False: every request gets the whole file.
    """

    def __init__(self, cut=(), knows_ranges=True):
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut, self.knows_ranges = list(cut), knows_ranges
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if self.path != "/file":
            return self.send_error(404)
        start = int(asked[6:-1]) if asked and server.knows_ranges else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = start + server.cut.pop(0) if server.cut else len(CONTENT)
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(**kwargs):
        server = Server(**kwargs)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


CHECKSUM = "md5:" + hashlib.md5(CONTENT).hexdigest()


def test_once(serve, tmp_path):
    server, path = serve(), tmp_path / "new" / "file"
    assert download(f"{server.url}/file", path, CHECKSUM).read_bytes() == CONTENT
    download(f"{server.url}/file", path, CHECKSUM)
    assert server.ranges == [None] and [p.name for p in path.parent.iterdir()] == ["file"]


def test_broken_connections_are_taken_up(serve, tmp_path):
    server = serve(cut=[1 << 20, 1000, 1 << 20])
    download(f"{server.url}/file", tmp_path / "file", CHECKSUM)
    assert server.ranges == [
        None,
        f"bytes={1 << 20}-",
        f"bytes={(1 << 20) + 1000}-",
        f"bytes={(2 << 20) + 1000}-",
    ]


@pytest.mark.parametrize("size", [1234, len(CONTENT)])
def test_what_an_earlier_run_left_is_used(serve, tmp_path, size):
    server = serve()
    (tmp_path / "file.part").write_bytes(CONTENT[:size])
    download(f"{server.url}/file", tmp_path / "file", CHECKSUM)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [f"bytes={size}-"]


def test_server_without_ranges(serve, tmp_path):
    server = serve(cut=[5000], knows_ranges=False)
    download(f"{server.url}/file", tmp_path / "file", CHECKSUM)
    assert (tmp_path / "file").read_bytes() == CONTENT and len(server.ranges) == 2


def test_no_progress_gives_up(serve, tmp_path):
    server = serve(cut=[100] + [0] * 20)
    with pytest.raises(FileAccessError, match=r"100 bytes are in .*file\.part; run it again"):
        download(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file.part").stat().st_size == 100


def test_wrong_file_is_removed(serve, tmp_path):
    with pytest.raises(ValueError, match=r"not the published file: its sha1 is .*expected 00"):
        download(f"{serve().url}/file", tmp_path / "file", "sha1:00")
    assert not list(tmp_path.iterdir())


def test_refused(serve, tmp_path):
    with pytest.raises(FileAccessError, match="answers 404"):
        download(f"{serve().url}/other", tmp_path / "file")
    server = serve()
    server.shutdown()
    server.server_close()
    with pytest.raises(FileAccessError, match="can't be downloaded"):
        download(f"{server.url}/file", tmp_path / "file")


def test_checksums(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    check_file(tmp_path / "a", "")
    check_file(tmp_path / "a", "sha1:a9993e364706816aba3e25717850c26c9cd0d89d")
    with pytest.raises(ValueError, match=r"a \(3 bytes\) is not the published file: its md5"):
        check_file(tmp_path / "a", "md5:00")
