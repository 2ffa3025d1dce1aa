"""hf:// addresses, without a network: a cache as the hub's client lays it out, and folders."""

import json

import pytest
import torch

from segsuite.checkpoint import convert_weights, load_weights, read_weights
from segsuite.checkpoint.facts import address_facts
from segsuite.checkpoint.hub import HubAddress
from segsuite.modeling.backbone import ResNet
from segsuite.models import create_model

pytest.importorskip("huggingface_hub")
safetensors = pytest.importorskip("safetensors.torch")

A, B = {"a": torch.ones(2)}, {"b": torch.zeros(3)}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A function that puts files into the cache, as hf://owner/seg, and gives their folder."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def write(files, commit=COMMIT, revision="main"):
        folder = tmp_path / "hub/models--owner--seg"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / revision).write_text(commit)
        for name, content in files.items():
            blob, link = folder / "blobs" / f"{commit[:8]}-{name.replace('/', '-')}", None
            blob.parent.mkdir(exist_ok=True)
            link = folder / "snapshots" / commit / name
            link.parent.mkdir(parents=True, exist_ok=True)
            _write(blob, name, content)
            link.symlink_to(blob)
        return folder / "snapshots" / commit

    return write


def _write(path, name, content):
    if name.endswith(".json"):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    elif name.endswith(".safetensors"):
        safetensors.save_file({n: t.contiguous() for n, t in content.items()}, path)
    else:
        torch.save(content, path)


def test_safetensors_before_pickles(repository):
    repository({"pytorch_model.bin": A, "model.safetensors": B})
    assert read_weights("hf://owner/seg").keys() == {"b"}
    assert read_weights("hf://owner/seg/pytorch_model.bin").keys() == {"a"}


def test_revisions(repository):
    repository({"model.safetensors": A})
    repository({"model.safetensors": B}, commit="f" * 40, revision="v2")
    assert read_weights("hf://owner/seg").keys() == {"a"}
    for revision in ("v2", "f" * 40):
        assert read_weights(f"hf://owner/seg@{revision}").keys() == {"b"}
        assert read_weights(f"hf://owner/seg/model.safetensors@{revision}").keys() == {"b"}


def test_file_in_a_folder(repository):
    repository({"weights/best.pth": A})
    assert read_weights("hf://owner/seg/weights/best.pth").keys() == {"a"}


SHARDS = {"weight_map": {"a": "model-00001.x", "b": "model-00002.x"}}


@pytest.mark.parametrize(
    "index, suffix", [("model.safetensors", ".safetensors"), ("pytorch_model.bin", ".bin")]
)
def test_shards(repository, index, suffix):
    places = {name: shard.replace(".x", suffix) for name, shard in SHARDS["weight_map"].items()}
    files = {f"{index}.index.json": {"weight_map": places}, places["a"]: A, places["b"]: B}
    folder = repository(files)
    for address in ("hf://owner/seg", f"hf://owner/seg/{index}.index.json"):
        assert read_weights(address).keys() == {"a", "b"}
    # The same as a folder on the disk, and as its index.
    for address in (folder, folder / f"{index}.index.json"):
        assert read_weights(address).keys() == {"a", "b"}


@pytest.mark.parametrize(
    "index, match",
    [
        ("{}", "no index of shards"),
        ("[", "no index of shards"),
        ({"weight_map": {"a": "../up.safetensors"}}, "not a file beside it"),
        ({"weight_map": {"a": "s.safetensors", "z": "s.safetensors"}}, "says that there is 'z'"),
    ],
)
def test_shards_that_do_not_add_up(tmp_path, index, match):
    _write(tmp_path / "model.safetensors.index.json", "x.json", index)
    safetensors.save_file(A, tmp_path / "s.safetensors")
    with pytest.raises(ValueError, match=match):
        read_weights(tmp_path / "model.safetensors.index.json", origin="MODEL.WEIGHTS")


def test_shard_that_is_missing(tmp_path):
    _write(tmp_path / "model.safetensors.index.json", "x.json", {"weight_map": {"a": "gone.bin"}})
    with pytest.raises(FileNotFoundError, match=r"gone\.bin"):
        read_weights(tmp_path)


def test_folder_without_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is a folder.*model\.safetensors"):
        read_weights(tmp_path, origin="MODEL.WEIGHTS")


def test_code_is_not_run(repository):
    folder = repository({"pytorch_model.bin": A})
    (folder / "pytorch_model.bin").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    with pytest.raises(ValueError, match=r"hf://owner/seg.*os\.system.*nothing was run"):
        read_weights("hf://owner/seg", origin="MODEL.WEIGHTS")


def test_without_a_network(repository):
    repository({"config.json": {}})
    with pytest.raises(
        OSError, match=r"MODEL\.WEIGHTS: 'hf://owner/seg' cannot.*hf download owner"
    ):
        read_weights("hf://owner/seg", origin="MODEL.WEIGHTS")
    with pytest.raises(OSError, match=r"hf download owner/none"):
        read_weights("hf://owner/none/model.bin")


@pytest.mark.parametrize(
    "address, parts",
    [
        ("hf://o/n", ("o/n", "", None)),
        ("hf://o/n/", ("o/n", "", None)),
        ("hf://o.x/n-1/a/b.bin@v1.0", ("o.x/n-1", "a/b.bin", "v1.0")),
        ("hf://o/n@refs/pr/1", ("o/n", "", "refs/pr/1")),
    ],
)
def test_addresses(address, parts):
    place = HubAddress.parse(address)
    assert (place.repository, place.file, place.revision) == parts


@pytest.mark.parametrize("address", ["hf://", "hf://o", "hf:///n", "hf://o/n@", "hf://o/../n"])
def test_what_is_no_address(address):
    with pytest.raises(ValueError, match="hf://OWNER/NAME"):
        read_weights(address)


def segformer_state(num_classes):
    """transformers' names of a small SegFormer, its weights those of a model here."""
    model = create_model(
        "segformer", num_classes=num_classes, overrides={"MODEL.MIT.NORM_EPS": 1e-5}
    ).eval()
    state = {}
    for name, tensor in model.state_dict().items():
        if not name.startswith("backbone."):
            name = name.replace("sem_seg_head.linear_pred", "decode_head.classifier")
            name = name.replace("sem_seg_head.linear_fuse.norm", "decode_head.batch_norm")
            name = name.replace("sem_seg_head.linear_fuse", "decode_head.linear_fuse")
            for i in range(4):
                name = name.replace(f"sem_seg_head.linear_c{i + 1}", f"decode_head.linear_c.{i}")
            state[name] = tensor
            continue
        kind, _, rest = name.removeprefix("backbone.").partition(".")
        stage, prefix = int(kind[-1]) - 1, "segformer.encoder"
        if kind.startswith("patch_embed"):
            state[f"{prefix}.patch_embeddings.{stage}.{rest.replace('norm', 'layer_norm')}"] = (
                tensor
            )
        elif kind.startswith("norm"):
            state[f"{prefix}.layer_norm.{stage}.{rest}"] = tensor
        else:
            rest = rest.replace("attn.q.", "attention.self.query.").replace(
                "attn.sr", "attention.self.sr"
            )
            rest = rest.replace("attn.norm", "attention.self.layer_norm")
            rest = rest.replace("attn.proj", "attention.output.dense").replace(
                "mlp.fc", "mlp.dense"
            )
            rest = rest.replace("norm1", "layer_norm_1").replace("norm2", "layer_norm_2")
            halves = {"key": tensor.chunk(2)[0], "value": tensor.chunk(2)[-1]}
            if "attn.kv." in rest:
                for half, part in halves.items():
                    theirs = rest.replace("attn.kv.", f"attention.self.{half}.")
                    state[f"{prefix}.block.{stage}.{theirs}"] = part.clone()
            else:
                state[f"{prefix}.block.{stage}.{rest}"] = tensor
    return model, state


CONFIG = {
    "model_type": "segformer",
    "hidden_act": "gelu",
    "id2label": {"0": "road", "1": "car", "2": "sky"},
}
PIXELS = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}


@torch.no_grad()
def test_repository_of_transformers(repository):
    model, state = segformer_state(3)
    repository(
        {"model.safetensors": state, "config.json": CONFIG, "preprocessor_config.json": PIXELS}
    )
    converted = convert_weights("hf://owner/seg")
    assert converted.classes["sem_seg_head"] == ["road", "car", "sky"]
    assert converted.settings["MODEL.PIXEL_MEAN"] == [127.5] * 3
    assert converted.settings["MODEL.MIT.NORM_EPS"] == 1e-5
    other = create_model("segformer", num_classes=3, weights="hf://owner/seg")
    report = load_weights(other, "hf://owner/seg")
    assert report.source == "transformers SegFormer"
    assert report.missing == report.unexpected == []
    keys = {key for key, *_ in report.differing}
    assert keys == {"MODEL.MIT.NORM_EPS", "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"}
    x = torch.randn(1, 3, 64, 64)
    same = create_model("segformer", num_classes=3, overrides={"MODEL.MIT.NORM_EPS": 1e-5})
    load_weights(same, "hf://owner/seg")
    torch.testing.assert_close(same.eval()(x), model(x))


def test_its_class_names_carry_rows_over(repository):
    _, state = segformer_state(3)
    repository({"model.safetensors": state, "config.json": CONFIG})
    model = create_model("segformer", num_classes=2)
    classes = {"sem_seg_head": ["sky", "road"]}
    report = load_weights(model, "hf://owner/seg", classes=classes)
    assert report.carried == ["sem_seg_head.linear_pred.weight", "sem_seg_head.linear_pred.bias"]
    theirs = state["decode_head.classifier.weight"]
    assert torch.equal(model.sem_seg_head.linear_pred.weight, theirs[[2, 0]])


def test_options_that_do_not_exist_here(repository):
    _, state = segformer_state(3)
    repository({"model.safetensors": state, "config.json": {**CONFIG, "sr_ratios": [4, 4, 2, 1]}})
    with pytest.raises(ValueError, match=r"sr_ratios of its segformer is \[4, 4, 2, 1\]"):
        create_model("segformer", num_classes=3, weights="hf://owner/seg")


SMP = {"encoder_name": "tu-convnext_tiny", "decoder_interpolation": "bilinear", "classes": 2}
TIMM = {
    "architecture": "vit_base",
    "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


@pytest.mark.parametrize(
    "config, settings",
    [
        (
            SMP,
            {"MODEL.SEM_SEG_HEAD.UPSAMPLING": "bilinear", "MODEL.TIMM.NAME": "convnext_tiny"},
        ),
        (
            TIMM,
            {
                "MODEL.TIMM.NAME": "vit_base",
                "MODEL.PIXEL_MEAN": [127.5] * 3,
                "MODEL.PIXEL_STD": [127.5] * 3,
                "INPUT.FORMAT": "RGB",
            },
        ),
        ({"something": "else"}, {}),
        ("no JSON", {}),
    ],
)
def test_configurations_of_libraries(repository, config, settings):
    folder = repository({"model.safetensors": A, "config.json": config})
    for address in ("hf://owner/seg", folder, folder / "model.safetensors"):
        assert address_facts(address).settings == settings
    assert address_facts(folder / "other.pth").settings == {}


def test_antialiased_resnet_is_told(repository, tmp_path):
    """Its blurs have no weights."""
    timm = pytest.importorskip("timm")
    state = timm.create_model("resnet18").state_dict()
    repository({"model.safetensors": state, "config.json": {"architecture": "resnetblur18"}})
    report = load_weights(ResNet(depth=18), "hf://owner/seg")
    blurred = ("MODEL.BACKBONE.NAME", "build_timm_backbone", "build_resnet_backbone")
    assert blurred in report.differing
    settings = convert_weights("hf://owner/seg").settings
    assert settings["MODEL.BACKBONE.NAME"] == "build_timm_backbone"
    assert settings["MODEL.TIMM.NAME"] == "resnetblur18"
    torch.save(state, tmp_path / "plain.pth")
    assert load_weights(ResNet(depth=18), tmp_path / "plain.pth").differing == []


def test_bicubic_decoder_is_refused(repository):
    repository({"config.json": {**SMP, "decoder_interpolation": "bicubic"}})
    with pytest.raises(ValueError, match="enlarges by 'bicubic' interpolation"):
        address_facts("hf://owner/seg")
