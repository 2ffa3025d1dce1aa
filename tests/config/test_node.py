import pytest
import yaml

from segsuite.config import CfgNode, get_cfg, load_config, optional
from segsuite.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def test_base_chain_in_order(write):
    write("_base_/a.yaml", "SOLVER: {MAX_ITER: 1, BASE_LR: 0.5}\n")
    write("_base_/b.yaml", "SOLVER: {MAX_ITER: 2}\nSEED: 7\n")
    path = write("run.yaml", "_BASE_: [_base_/a.yaml, _base_/b.yaml]\nSOLVER: {BASE_LR: 0.25}\n")
    cfg = load_config(path)
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR, cfg.SEED) == (2, 0.25, 7)


def test_base_errors(write):
    loop = write("loop.yaml", "_BASE_: loop.yaml\n")
    with pytest.raises(ValueError, match="leads back"):
        load_config(loop)
    lost = write("lost.yaml", "_BASE_: nowhere.yaml\n")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml .*named by _BASE_ in .*lost\.yaml"):
        load_config(lost)
    with pytest.raises(FileNotFoundError, match=r"no configuration file missing\.yaml"):
        load_config("missing.yaml")


def test_unknown_key_names_file_and_nearest(write):
    write("base.yaml", "SOLVER:\n  MAX_ITERS: 3\n")
    path = write("run.yaml", "_BASE_: base.yaml\n")
    with pytest.raises(KeyError) as e:
        load_config(path)
    message = e.value.args[0]
    assert message.startswith(path.replace("run", "base"))
    assert "unknown key SOLVER.MAX_ITERS; did you mean SOLVER.MAX_ITER?" in message


def test_unknown_key_with_nothing_alike_lists_the_keys():
    with pytest.raises(KeyError, match=r"unknown key DATALOADER\.QQ; .*NUM_WORKERS"):
        get_cfg().merge_from_list(["DATALOADER.QQ", 1])


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "just words\n", "A: [1, 2\n"])
def test_not_a_mapping(write, text):
    path = write("bad.yaml", text)
    with pytest.raises(ValueError, match=r"bad\.yaml"):
        load_config(path)


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("SOLVER.BASE_LR", 1, 1.0),
        ("SOLVER.BASE_LR", "1e-4", 1e-4),
        ("SOLVER.STEPS", [5, 6], (5, 6)),
        ("MODEL.PIXEL_MEAN", "(1.0, 2.0, 3.0)", [1.0, 2.0, 3.0]),
        ("SOLVER.WEIGHT_DECAY_BIAS", "0.1", 0.1),
        ("DATASETS.TRAIN", "('a', 'b')", ("a", "b")),
        ("DATASETS.TRAIN", "('a',)", ("a",)),
        ("DATASETS.TRAIN", "(a,b)", ("a", "b")),
        ("DATASETS.TRAIN", "[a, b]", ("a", "b")),
        ("DATASETS.TRAIN", "a,b", ("a", "b")),
        ("DATASETS.TRAIN", "a", ("a",)),
        ("DATASETS.TRAIN", "()", ()),
        ("DATASETS.TRAIN", "", ()),
        ("INPUT.MIN_SIZE_TRAIN", "640", (640,)),
        ("INPUT.MIN_SIZE_TRAIN", 640, (640,)),
        ("MODEL.PIXEL_MEAN", "1e2,2,3.5", [100.0, 2, 3.5]),
        ("SOLVER.MAX_ITER", "1e3", 1000),
        ("SOLVER.MAX_ITER", 2000.0, 2000),
        ("SOLVER.AMP.ENABLED", "true", True),
        ("SOLVER.AMP.ENABLED", "off", False),
        ("OUTPUT_DIR", "2024", "2024"),
        ("MODEL.WEIGHTS", "'a b.pth'", "a b.pth"),
        ("MODEL.DEVICE", "cpu", "cpu"),
        ("MODEL.COMPILE", "backbone", "backbone"),
        ("MODEL.COMPILE", "off", False),
        ("MODEL.COMPILE", True, True),
    ],
)
def test_values_take_the_type_of_the_default(key, given, expected):
    cfg = get_cfg()
    cfg.merge_from_list([key, given])
    node = cfg
    for part in key.split("."):
        node = node[part]
    assert node == expected and type(node) is type(expected)


@pytest.mark.parametrize(
    ("key", "given", "message"),
    [
        ("SOLVER.MAX_ITER", "1.5", "SOLVER.MAX_ITER takes an int"),
        ("SOLVER.MAX_ITER", "True", "takes an int"),
        ("SOLVER.MAX_ITER", "many", "was given the str 'many'"),
        ("INPUT.MIN_SIZE_TRAIN", "small", "takes a tuple"),
        ("SOLVER.AMP.ENABLED", "perhaps", "takes a bool"),
        ("MODEL", "resnet", "MODEL is a section"),
        ("OUTPUT_DIR", "null", "OUTPUT_DIR takes a str"),
        ("SOLVER.BASE_LR", None, "SOLVER.BASE_LR takes a float .* given null"),
        ("DATASETS.TEST", None, r"DATASETS.TEST takes a tuple \(default \(\)\), it was given null"),
        ("SEED", "None", "SEED takes an int"),
        ("MODEL.COMPILE", "perhaps", "can be False, True or 'backbone', it was given 'perhaps'"),
        ("MODEL.COMPILE", 1, "MODEL.COMPILE can be .* it was given 1"),
        ("MODEL.COMPILE", None, "MODEL.COMPILE can be .* it was given None"),
    ],
)
def test_wrong_types(key, given, message):
    with pytest.raises(ValueError, match=message):
        get_cfg().merge_from_list([key, given])


def test_override_without_value():
    with pytest.raises(ValueError, match="in pairs"):
        get_cfg().merge_from_list(["SEED"])


@pytest.mark.parametrize("words", [["SEED", "-1", "--resume"], ["--plugin", "mine"]])
def test_options_among_the_overrides(words):
    with pytest.raises(ValueError, match="options come before them"):
        get_cfg().merge_from_list(words)


def test_frozen():
    cfg = get_cfg()
    cfg.freeze()
    with pytest.raises(AttributeError, match="frozen"):
        cfg.merge_from_list(["SEED", "3"])
    with pytest.raises(AttributeError):
        cfg.SOLVER.MAX_ITER = 3
    assert cfg.SEED == get_cfg().SEED


def test_get_cfg_gives_independent_copies():
    a, b = get_cfg(), get_cfg()
    a.SOLVER.MAX_ITER = 1
    a.MODEL.PIXEL_MEAN.append(0.0)
    assert b.SOLVER.MAX_ITER != 1 and len(b.MODEL.PIXEL_MEAN) == 3


def test_dump_runs_again(write):
    cfg = get_cfg()
    cfg.merge_from_other_cfg(
        {"DATASETS": {"REGISTER": {"mine": {"IMAGES": "a", "LABEL_MAP": {11: 255}}}}}
    )
    cfg.SOLVER.BASE_LR = 0.125
    again = load_config(write("config.yaml", cfg.dump()))
    assert yaml.safe_load(again.dump()) == yaml.safe_load(cfg.dump())
    assert again.DATASETS.REGISTER.mine.LABEL_MAP["11"] == 255


def test_free_sections_grow_and_merge():
    cfg = get_cfg()
    cfg.merge_from_other_cfg(
        {"DATASETS": {"REGISTER": {"mine": {"IMAGES": "a", "CLASSES": ["x"]}}}}
    )
    cfg.merge_from_other_cfg({"DATASETS": {"REGISTER": {"mine": {"IMAGES": "b", "LABELS": "c"}}}})
    assert dict(cfg.DATASETS.REGISTER.mine) == {"IMAGES": "b", "CLASSES": ["x"], "LABELS": "c"}
    assert isinstance(cfg.DATASETS.REGISTER.mine, CfgNode)


def test_optional_keys_are_null_and_keep_to_their_type(tmp_path):
    cfg = CfgNode()
    cfg.HEAD = CfgNode()
    cfg.HEAD.WIDTH, cfg.HEAD.NORM = optional(int), optional(str)
    cfg.HEAD.SCALES, cfg.HEAD.RATE = optional(list), optional(float)
    assert dict(cfg.HEAD) == {"WIDTH": None, "NORM": None, "SCALES": None, "RATE": None}
    cfg = cfg.clone()
    cfg.merge_from_list(["HEAD.WIDTH", "8", "HEAD.RATE", "1", "HEAD.SCALES", "(1, 2)"])
    assert (cfg.HEAD.WIDTH, cfg.HEAD.RATE, cfg.HEAD.SCALES) == (8, 1.0, [1, 2])
    path = tmp_path / "config.yaml"
    path.write_text(cfg.dump())
    again = cfg.clone()
    again.merge_from_list(["HEAD.WIDTH", "null"])
    assert again.HEAD.WIDTH is None
    again.merge_from_file(path)
    assert again == cfg
    for value, kind in (("wide", "str"), (1.5, "float")):
        with pytest.raises(ConfigError, match=rf"HEAD.WIDTH takes an int .*the {kind} "):
            cfg.merge_from_list(["HEAD.WIDTH", value])
    with pytest.raises(ConfigError, match=r"HEAD.NORM takes a str \(default null\)"):
        cfg.merge_from_list(["HEAD.NORM", 3])
