"""A local page on which an image can be dropped to see what a trained model finds in it."""

from __future__ import annotations

import html
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2

from segsuite.data import ImageReader
from segsuite.errors import DataError, FileAccessError, MissingPackageError, UserError
from segsuite.utils.memory import return_memory
from segsuite.visualization import Prediction
from segsuite.visualization.summary import ClassSummary, confidence_map, summarize

from .gate import Gate

MEGABYTE = 1 << 20
MAX_PIXELS = 40_000_000  # some 70 bytes of memory each while they are predicted and drawn
# Others are read by code that few look at, or by other programs: EPS by Ghostscript.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "NPY")
_MAX_WAITING = 16
_MAX_SESSIONS = 64
_MINUTE = 60  # seconds
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
_LEGEND = jinja2.Environment(autoescape=True).from_string(
    """
<style>
#found { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
#found, #found tr { border: 0 }
#found :is(th, td) { padding: .35em .4em; text-align: right; border: 0;
  border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent) }
#found :is(th, td):first-child { text-align: left; overflow-wrap: anywhere }
#found i { display: inline-block; width: 1em; height: 1em; margin-right: .5em; border-radius: 3px;
  vertical-align: -.12em; outline: 1px solid color-mix(in srgb, currentColor 35%, transparent) }
</style>
{% if not classes %}<p>Nothing found{{ note }}.</p>{% else %}
<table id="found">
<thead><tr><th scope="col">Class</th>
{% if counted %}<th scope="col">Count</th>{% endif %}
{% if measured %}<th scope="col">Pixels</th>{% endif %}
<th scope="col">Confidence</th></tr></thead>
<tbody>
{% for c in classes %}
<tr><td><i style="background: rgb{{ c.color }}"></i>{{ c.name }}</td>
{% if counted %}<td>{{ c.count if c.count is not none else "" }}</td>{% endif %}
{% if measured %}<td>{{ "%.1f%%"|format(100 * c.share) }}</td>{% endif %}
<td>{{ "%.1f%%"|format(100 * c.confidence) }}</td></tr>
{% endfor %}
</tbody></table>{% endif %}
"""
)


@dataclass
class Answer:
    """What the page shows of an image.

    Attributes:
        image, overlay: (H, W, 3) uint8 RGB, overlay in the colours of `classes`.
        confidence: (H, W, 3) uint8 RGB, see `confidence_map`; None for instances alone.
        classes: what is in the image.
        legend: the same as an HTML table.
    """

    image: Any
    overlay: Any
    confidence: Any | None
    classes: list[ClassSummary]
    legend: str


def answer(
    predict: Callable[[Any], Prediction],
    file: str | os.PathLike,
    max_bytes: int,
    max_pixels: int = MAX_PIXELS,
    reader: ImageReader | None = None,
) -> Answer:
    """Predict a file that somebody has sent.

    Args:
        reader: of the file; None: it is 8-bit colours or grey.

    Raises:
        DataError: it is too large, in bytes or in pixels, or no image, or a damaged one.
    """
    name, size = Path(file).name, os.path.getsize(file)
    if size > max_bytes:
        raise DataError(
            f"{name} has {size / MEGABYTE:.1f} MB; up to {max_bytes / MEGABYTE:g} MB are taken "
            "(--max-upload-mb)"
        )
    content = Path(file).read_bytes()
    reader = reader or ImageReader()
    image = reader.decode(content, name, max_pixels=max_pixels, formats=_FORMATS)
    prediction = predict(image)
    colors = prediction.class_colors_of_things()
    confidence = prediction.confidence
    classes = summarize(prediction)
    return Answer(
        image=prediction.image,
        overlay=prediction.draw(colors),
        confidence=None if confidence is None else confidence_map(confidence),
        classes=classes,
        legend=_LEGEND.render(
            classes=classes,
            counted=any(c.count is not None for c in classes),
            measured=all(c.share is not None for c in classes),
            note=f" with a score of at least {prediction.min_score:g}"
            if prediction.instances is not None and prediction.panoptic is None
            else "",
        ),
    )


def build_page(
    predict: Callable[[Any], Prediction],
    *,
    title: str,
    max_bytes: int,
    max_pixels: int = MAX_PIXELS,
    reader: ImageReader | None = None,
) -> Any:
    """The page, a `gradio.Blocks`; ``/predict`` of its programming interface takes a file.

    Raises:
        MissingPackageError: gradio is not installed.
    """
    gr = _import_gradio()

    def show(file: str) -> tuple[Any, ...]:
        try:
            found = answer(predict, file, max_bytes, max_pixels, reader)
        except UserError as error:
            message = html.escape(str(error))
            raise gr.Error(message, duration=None, print_exception=False) from None
        confidence = gr.Image(found.confidence, visible=found.confidence is not None)
        return (found.image, found.overlay), found.legend, confidence

    def clear() -> tuple[Any, ...]:
        return None, "", gr.Image(None, visible=False)

    with gr.Blocks(
        title=f"{title} - segsuite",
        analytics_enabled=False,
        delete_cache=(_MINUTE, 10 * _MINUTE),  # looks each minute for what is older than ten
    ) as page:
        gr.HTML(f"<h1>What {html.escape(title)} sees</h1>")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                file = gr.File(
                    label=f"An image, up to {max_bytes / MEGABYTE:g} MB",
                    file_types=["image", ".npy", ".npz"],
                    height=150,
                )
                legend = gr.HTML()
            with gr.Column(scale=2, min_width=320):
                pictures = gr.ImageSlider(
                    label="Image | prediction", format="png", interactive=False, max_height=700
                )
                confidence = gr.Image(
                    label="Confidence (yellow: certain)",
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    visible=False,
                )
        outputs = [pictures, legend, confidence]
        file.upload(show, file, outputs, api_name="predict")
        file.clear(clear, None, outputs, api_visibility="private")
    # What Gradio remembers of who was here: by default of the last 10,000.
    page.state_session_capacity = _MAX_SESSIONS
    # One image at a time; who comes after this many that wait is told so.
    page.queue(max_size=_MAX_WAITING, default_concurrency_limit=1)
    return page


def serve(
    predict: Callable[[Any], Prediction],
    *,
    title: str,
    host: str = "127.0.0.1",
    port: int = 7860,
    max_bytes: int = 20 * MEGABYTE,
    max_pixels: int = MAX_PIXELS,
    token: str | None = None,
    reader: ImageReader | None = None,
) -> None:
    """Show the page until Ctrl-C or SIGTERM. Nothing is sent anywhere, nothing is kept.

    Only files that are uploaded to the page are read, see `Gate`.

    Args:
        predict: a `Predictor`.
        host: the address to listen at: "127.0.0.1" for this machine alone, "0.0.0.0" for all that
            reach it.
        max_bytes: larger files are refused while they are being sent.
        max_pixels: larger images are refused before they are decoded.
        reader: of the files; None: they are 8-bit colours or grey.
        token: a word that the page's address has to have, ``?token=...``; None: none is asked for.

    Raises:
        MissingPackageError: gradio is not installed.
        FileAccessError: the port is taken, or the address is not this machine's.
    """
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise FileAccessError(
            f"can't listen at {host}:{port} ({error}); choose another --port"
        ) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return_memory()
    with listener, tempfile.TemporaryDirectory() as uploads, suppress(KeyboardInterrupt):
        os.environ["GRADIO_TEMP_DIR"] = uploads
        page = build_page(
            predict, title=title, max_bytes=max_bytes, max_pixels=max_pixels, reader=reader
        )
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        address += f"/?token={token}" if token else ""
        # Whoever knows the token is let in by any name, as that of a server in front.
        hosts = _LOOPBACK if host in _LOOPBACK and token is None else None
        gate = partial(Gate, uploads=uploads, max_bytes=max_bytes, hosts=hosts, token=token)
        _run_server(page, listener, gate, max_bytes, f"{title} at {address}  (Ctrl-C ends it)")


def _run_server(
    page: Any,
    listener: socket.socket,
    gate: Callable[[Any], Gate],
    max_bytes: int,
    greeting: str,
) -> None:
    # Not by page.launch(), which gives up where its own request to the page takes seconds.
    import fastapi
    import uvicorn

    gr = _import_gradio()
    app = gr.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        max_file_size=max_bytes,
        show_error=True,
        ssr_mode=False,
        footer_links=[],
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(greeting, flush=True)

    config = uvicorn.Config(
        gate(app), log_level="warning", timeout_graceful_shutdown=2, limit_concurrency=128
    )
    Server(config).run(sockets=[listener])


def _import_gradio() -> ModuleType:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio
    except ImportError as error:
        raise MissingPackageError(
            "the page needs the package gradio: pip install gradio, or segsuite-torch[serve]"
        ) from error
    return gradio
