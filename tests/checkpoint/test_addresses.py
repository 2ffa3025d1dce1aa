"""Addresses, without a network: a server on this machine, handlers, and caches that are filled."""

import http.server
import threading

import pytest
import torch
from iopath.common.file_io import PathHandler

from segsuite.checkpoint import PATH_MANAGER, read_weights

WEIGHTS = {"a.weight": torch.arange(6.0)}
PAGE = b"<!DOCTYPE html><html>Not here</html>"


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "iopath"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))


@pytest.fixture
def server(tmp_path):
    """The address of a server of the files in ``served``, and the paths that were asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "served"))

        def log_message(self, message, *args):
            asked.append(self.path)

    (tmp_path / "served").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def test_http_is_fetched_once(server, tmp_path):
    address, asked = server
    torch.save(WEIGHTS, tmp_path / "served/weights.pth")
    for _ in range(2):
        state = read_weights(f"{address}/weights.pth")
        assert torch.equal(state["a.weight"], WEIGHTS["a.weight"])
    assert asked == ["/weights.pth"]


@pytest.mark.parametrize(
    "content, match",
    [
        (PAGE, "web page"),
        (b"PK\x03\x04" + bytes(100), "its end is missing"),
        (b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.", "'os.system'.*nothing was run"),
    ],
)
def test_what_is_no_checkpoint_is_refused(server, tmp_path, content, match):
    (tmp_path / "served/weights.pth").write_bytes(content)
    with pytest.raises(ValueError, match=rf"MODEL\.WEIGHTS: 'http.*{match}.*remove it"):
        read_weights(f"{server[0]}/weights.pth", origin="MODEL.WEIGHTS")


def test_what_the_server_does_not_have(server):
    with pytest.raises(OSError, match=r"'http://.*404.*put it at '.*iopath/zoo/gone\.pth'"):
        read_weights(f"{server[0]}/zoo/gone.pth")


def test_detectron2_addresses_stand_for_its_server(tmp_path):
    path = tmp_path / "iopath/detectron2/ImageNetPretrained/R-50.pkl"
    path.parent.mkdir(parents=True)
    torch.save(WEIGHTS, path)
    state = read_weights("detectron2://ImageNetPretrained/R-50.pkl")
    assert state.keys() == WEIGHTS.keys()


def test_a_plug_in_brings_handlers_of_its_own(tmp_path):
    class Handler(PathHandler):
        def _get_supported_prefixes(self):
            return ["shelf://"]

        def _get_local_path(self, path, force=False, **kwargs):
            return str(tmp_path / path.removeprefix("shelf://"))

    torch.save(WEIGHTS, tmp_path / "weights.pth")
    PATH_MANAGER.register_handler(Handler(), allow_override=True)
    assert read_weights("shelf://weights.pth").keys() == WEIGHTS.keys()


def test_unknown_kind_of_address():
    with pytest.raises(FileNotFoundError, match=r"'ftq://x/w\.pth' names no file"):
        read_weights("ftq://x/w.pth", origin="MODEL.WEIGHTS")


class TestTorchvision:
    @pytest.mark.parametrize(
        "address, file",
        [
            ("resnet18", "resnet18-f37072fd.pth"),
            ("resnet50:IMAGENET1K_V1", "resnet50-0676ba61.pth"),
            ("resnet50", "resnet50-11ad3fa6.pth"),
            ("fcn_resnet50", "fcn_resnet50_coco-1167a1af.pth"),
        ],
    )
    def test_file_of_pytorchs_cache(self, tmp_path, address, file):
        path = tmp_path / "hub/checkpoints" / file
        path.parent.mkdir(parents=True)
        torch.save(WEIGHTS, path)
        assert read_weights(f"torchvision://{address}").keys() == WEIGHTS.keys()

    def test_without_network_the_file_and_its_place_are_named(self, monkeypatch):
        def download(url, *_):
            raise OSError("no route to host")

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        with pytest.raises(
            OSError, match=r"no route.*resnet18-f37072fd\.pth .*hub/checkpoints/res"
        ):
            read_weights("torchvision://resnet18")

    def test_download_is_checked_by_its_hash(self, monkeypatch):
        asked = []
        monkeypatch.setattr(
            torch.hub,
            "download_url_to_file",
            lambda url, path, sha: (
                asked.append((url.rpartition("/")[2], sha)),
                torch.save({}, path),
            ),
        )
        read_weights("torchvision://resnet18")
        assert asked == [("resnet18-f37072fd.pth", "f37072fd")]

    @pytest.mark.parametrize(
        "address, match",
        [
            ("resnet5", "Did you mean 'resnet50'"),
            ("resnet50:V1", "no weights 'V1' of 'resnet50'; it has IMAGENET1K_V1, IMAGENET1K_V2"),
            ("mnasnet0_75:X", "no weights 'X'"),
        ],
    )
    def test_errors(self, address, match):
        with pytest.raises(ValueError, match=match):
            read_weights(f"torchvision://{address}")


class TestTimm:
    @pytest.fixture(autouse=True)
    def timm(self):
        return pytest.importorskip("timm")

    def test_weights_come_from_timm(self, timm, monkeypatch):
        model = timm.create_model("test_resnet")
        monkeypatch.setattr(timm, "create_model", lambda name, pretrained: model)
        assert read_weights("timm://test_resnet").keys() == model.state_dict().keys()

    def test_without_network_the_source_is_named(self, timm, monkeypatch):
        def create_model(*args, **kwargs):
            raise OSError("no route to host")

        monkeypatch.setattr(timm, "create_model", create_model)
        with pytest.raises(OSError, match=r"no route to host.*get timm/test_resnet\.r160_in1k"):
            read_weights("timm://test_resnet")

    def test_errors(self):
        with pytest.raises(ValueError, match="Did you mean 'convnext_tiny'"):
            read_weights("timm://convnext_tny")
        with pytest.raises(ValueError, match="publishes no weights"):
            read_weights("timm://vit_base_patch16_plus_240")
