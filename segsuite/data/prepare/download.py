"""Downloads that go on where they stopped, and checksums."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from segsuite.errors import DataError, FileAccessError
from segsuite.utils.files import publish

_BLOCK = 1 << 20
_TIMEOUT = 60
_ATTEMPTS = 5


def download(url: str, path: str | os.PathLike, checksum: str = "") -> Path:
    """Download a file unless it is there, with a progress bar.

    What has come of it stands in ``<path>.part``: after an interruption the next call asks the
    server for the rest. A connection that breaks is tried anew, five times without progress.

    Args:
        checksum: see `check_file`; the finished file is checked.

    Raises:
        FileAccessError: the server can't be reached, or refuses.
        DataError: the file is not the one that was expected; it is removed.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        failures = 0
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                _fetch_rest(url, part)
                break
            except urllib.error.HTTPError as e:
                raise FileAccessError(f"{url}: the server answers {e.code} {e.reason}") from None
            except (OSError, http.client.HTTPException) as e:
                after = part.stat().st_size if part.exists() else 0
                failures = failures + 1 if after == before else 0
                if failures == _ATTEMPTS or isinstance(getattr(e, "reason", None), OSError):
                    raise FileAccessError(
                        f"{url} can't be downloaded: {e}. {after} bytes are in {part}; run it "
                        f"again to go on, or put the file there yourself as {path}"
                    ) from None
        publish(part, path)
    try:
        check_file(path, checksum)
    except DataError:
        path.unlink()
        raise
    return path


def _fetch_rest(url: str, part: Path) -> None:
    """Append to `part` what it lacks of the file at `url`.

    Raises:
        OSError, HTTPException: the connection can't be made, or breaks.
    """
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as e:
        # "Range not satisfiable": there is nothing left to send.
        if e.code == 416 and e.headers.get("Content-Range") == f"bytes */{start}":
            return
        raise
    with response:
        if start and response.status != 206:
            start = 0  # the server sends the whole file
        left = response.length
        with (
            part.open("ab" if start else "wb") as file,
            tqdm(
                total=None if left is None else start + left,
                initial=start,
                desc=part.stem,
                unit="B",
                unit_scale=True,
                file=sys.stderr,
                disable=None,
            ) as bar,
        ):
            received = 0
            while block := response.read(_BLOCK):
                file.write(block)
                received += len(block)
                bar.update(len(block))
    if left is not None and received < left:
        raise ConnectionError(f"the connection broke after {start + received} bytes")


def check_file(path: str | os.PathLike, checksum: str) -> None:
    """Compare a file with its checksum.

    Args:
        checksum: "md5:<hex>", "sha1:<hex>" or "sha256:<hex>"; empty: nothing is compared.

    Raises:
        DataError: it is another file.
    """
    if not checksum:
        return
    algorithm, _, expected = checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with (
        open(path, "rb") as file,
        tqdm(
            total=os.path.getsize(path),
            desc=f"checking {Path(path).name}",
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            disable=None,
        ) as bar,
    ):
        while block := file.read(_BLOCK):
            digest.update(block)
            bar.update(len(block))
    if digest.hexdigest() != expected:
        raise DataError(
            f"{path} ({os.path.getsize(path)} bytes) is not the published file: its {algorithm} is "
            f"{digest.hexdigest()}, expected {expected}. Download it again"
        )
