"""What stands between the page and whoever reaches its port.

The page is Gradio's, which is made to serve files and to take addresses as well. Of its routes the
page needs few; the gate lets through those, with files that were uploaded to this page alone.
"""

from __future__ import annotations

import hmac
import json
import os
import re
from collections.abc import Awaitable, Callable, Collection
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from segsuite.utils.files import parse_json

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_API = "/gradio_api"
_FILE = f"{_API}/file="
_READ = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt"
    r"|/(static|assets|svelte)/.*"
    rf"|{_API}/(info/?|theme\.css|app_id/?|startup-events|upload_progress|heartbeat/\w+)"
    rf"|{_API}/(queue/data|call/predict/\w+)|{_FILE}.*",
    re.DOTALL,
)
# `/run` and `/api` would go past the queue, which bounds how many images are predicted at a time.
_ASK = re.compile(rf"{_API}/(queue/join|call/predict)/?")
_OTHER_POSTS = re.compile(rf"{_API}/(reset|cancel)/?")
_UPLOAD = f"{_API}/upload"
_MAX_BODY = 1 << 20
_MAX_UPLOADS = 8  # at a time
_FORM = 64 << 10  # what a form adds to a file
_COOKIE = "segsuite_token"


class Gate:
    """An ASGI application that answers for `app` what is not let through to it.

    Args:
        uploads: the folder that the page's uploads, and its answers, are kept in.
        max_bytes: of an upload.
        max_kept: bytes of all that is in `uploads`; above it no more is taken.
        hosts: names that a request may call this machine by, as those of 127.0.0.1; None: any. Else
            a page of somebody else's could have its own name lead here, and a browser, which then
            takes this page for part of that one, would let it read (DNS rebinding).
        token: a word that every request has to bring, as ``?token=`` once (a cookie keeps it) or as
            ``Authorization: Bearer``; None: everybody is let in.
    """

    def __init__(
        self,
        app: Callable[[Any, Receive, Send], Awaitable[None]],
        *,
        uploads: str | os.PathLike[str],
        max_bytes: int,
        max_kept: int = 1 << 30,
        hosts: Collection[str] | None = None,
        token: str | None = None,
    ):
        self._app = app
        self._uploads = Path(uploads).resolve()
        self._max_bytes = max_bytes
        self._max_kept = max_kept
        self._hosts = hosts
        self._token = token
        self._uploading = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # a websocket: the page has none
            return await send({"type": "websocket.close"})
        if self._hosts is not None and _host(scope) not in self._hosts:
            names = ", ".join(self._hosts)
            return await _answer(send, 403, f"this page is asked for as {names}, not as another")
        if not self._knows_token(scope):
            return await _answer(send, 401, "the address has to end in ?token=..., as it was given")
        await self._route(scope, receive, send if self._token is None else self._with_cookie(send))

    async def _route(self, scope: Any, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD") and _READ.fullmatch(path):
            if path.startswith(_FILE) and not self.holds(unquote(path[len(_FILE) :])):
                return await _answer(send, 403, "only files of this page are served")
            return await self._app(scope, receive, send)
        if method == "POST" and path.rstrip("/") == _UPLOAD:
            return await self._upload(scope, receive, send)
        if method == "POST" and _ASK.fullmatch(path):
            return await self._ask(scope, receive, send)
        if method == "POST" and _OTHER_POSTS.fullmatch(path):
            return await self._app(scope, receive, send)
        await _answer(send, 404, "not found")

    def holds(self, path: Any) -> bool:
        """Whether a path is of a file that was uploaded to this page, or made by it. Nothing is
        told of what lies elsewhere, not even whether it is there."""
        if not isinstance(path, str) or "\0" in path or not os.path.isabs(path):
            return False
        if not Path(os.path.normpath(path)).is_relative_to(self._uploads):
            return False
        real = Path(os.path.realpath(path))
        return real.is_relative_to(self._uploads) and real.is_file()

    def _knows_token(self, scope: Any) -> bool:
        if self._token is None:
            return True
        headers = {name.lower(): value.decode("latin1") for name, value in scope["headers"]}
        given = parse_qs(scope["query_string"].decode("latin1")).get("token", [])
        given.append(headers.get(b"authorization", "").removeprefix("Bearer "))
        try:
            cookie = SimpleCookie(headers.get(b"cookie", ""))
            given += [cookie[_COOKIE].value] if _COOKIE in cookie else []
        except CookieError:
            pass
        expected = self._token.encode()
        return any(hmac.compare_digest(word.encode(), expected) for word in given)

    def _with_cookie(self, send: Send) -> Send:
        cookie = f"{_COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict".encode()

        async def send_with_cookie(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"set-cookie", cookie)]}
            await send(message)

        return send_with_cookie

    async def _upload(self, scope: Any, receive: Receive, send: Send) -> None:
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            return await _answer(send, 411, "an upload has to say its size")
        if int(length) > self._max_bytes + _FORM:
            return await _answer(send, 413, f"the size of a file is up to {self._max_bytes} bytes")
        if self._uploading >= _MAX_UPLOADS or _size(self._uploads) > self._max_kept:
            return await _answer(send, 503, "too many uploads; try again in some minutes")
        self._uploading += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._uploading -= 1

    async def _ask(self, scope: Any, receive: Receive, send: Send) -> None:
        if _size(self._uploads) > self._max_kept:
            return await _answer(send, 503, "too many answers; try again in some minutes")
        body = await _body(receive)
        try:
            content = parse_json(body or b"")
            content["data"] = [self._cleaned(item) for item in content["data"]]
        except (ValueError, KeyError, TypeError) as error:
            fault = error if isinstance(error, _NotUploaded) else "a list of files is expected"
            return await _answer(send, 400, str(fault))
        # What was read is what is passed on: of a key that is there twice, readers differ.
        cleaned = json.dumps(content).encode()
        headers = [(k, v) for k, v in scope["headers"] if k.lower() != b"content-length"]
        headers.append((b"content-length", str(len(cleaned)).encode()))
        messages = [{"type": "http.request", "body": cleaned, "more_body": False}]

        async def receive_cleaned() -> Any:
            return messages.pop() if messages else await receive()

        await self._app({**scope, "headers": headers}, receive_cleaned, send)

    def _cleaned(self, item: Any) -> Any:
        if item is None:
            return None
        if not isinstance(item, dict) or not self.holds(item.get("path")):
            raise _NotUploaded("only a file that was uploaded to this page can be predicted")
        name = item.get("orig_name")
        named = {"orig_name": name} if isinstance(name, str) else {}
        return {"path": item["path"], **named, "meta": {"_type": "gradio.FileData"}}


class _NotUploaded(ValueError):
    pass


def _host(scope: Any) -> str:
    """The name, without its port, that a request was sent to; empty for none, or several."""
    given = [value.decode("latin1") for name, value in scope["headers"] if name.lower() == b"host"]
    if len(given) != 1:
        return ""
    return re.sub(r":\d+$", "", given[0]).lower().removesuffix(".")


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None where it is too large, or the client has gone."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > _MAX_BODY:
            return None
        if not message.get("more_body"):
            return body


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": text}).encode()})


def _size(folder: Path) -> int:
    """Bytes in a folder, with all below."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(parent, name))
            except OSError:  # removed meanwhile
                continue
    return total
