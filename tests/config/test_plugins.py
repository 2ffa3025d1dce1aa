import textwrap

import pytest

from segsuite.config import get_cfg, load_config
from tests.processes import run_python

PLUGIN = """
    from segsuite.config import CfgNode

    def add_config(cfg):
        cfg.MODEL.{section} = CfgNode({{"WIDTH": 3}})
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch, request):
    """An importable module whose add_config adds MODEL.<NAME>."""
    name = f"plugin_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(PLUGIN.format(section=name.upper())))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_plugins_in_a_file_come_before_its_keys(plugin, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"MODEL: {{{plugin.upper()}: {{WIDTH: 5}}}}\nPLUGINS: [{plugin}]\n")
    cfg = load_config(path)
    assert cfg.MODEL[plugin.upper()].WIDTH == 5
    assert (plugin,) == cfg.PLUGINS
    # The written configuration names its plug-ins, so it runs again as it is.
    (tmp_path / "again.yaml").write_text(cfg.dump())
    assert load_config(tmp_path / "again.yaml").MODEL[plugin.upper()].WIDTH == 5


def test_plugins_as_argument_and_override(plugin):
    key = f"MODEL.{plugin.upper()}.WIDTH"
    cfg = load_config(None, [key, "7"], plugins=[plugin])
    assert cfg.MODEL[plugin.upper()].WIDTH == 7 and (plugin,) == cfg.PLUGINS
    cfg = load_config(None, ["PLUGINS", f"['{plugin}']", key, "8"])
    assert cfg.MODEL[plugin.upper()].WIDTH == 8 and (plugin,) == cfg.PLUGINS
    assert plugin.upper() not in get_cfg().MODEL


def test_missing_plugin_names_it():
    with pytest.raises(ImportError, match="plug-in 'no_such_plugin' can't be imported"):
        load_config(None, plugins=["no_such_plugin"])


def test_installed_package_with_entry_point(tmp_path):
    """A third-party package in its installed form: a module beside its dist-info."""
    (tmp_path / "thirdparty.py").write_text(textwrap.dedent(PLUGIN.format(section="THIRD")))
    info = tmp_path / "thirdparty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[segsuite.plugins]\nthird = thirdparty\n")
    code = "from segsuite.config import get_cfg; print(get_cfg().MODEL.THIRD.WIDTH)"

    def run():
        path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
        return run_python("-c", f"{path}; {code}")

    assert run().stdout.strip() == "3"
    (tmp_path / "thirdparty.py").write_text("raise ValueError('broken inside')")
    failed = run()
    assert failed.returncode != 0
    assert "plug-in 'third' (thirdparty) failed to load: ValueError: broken inside" in failed.stderr
    code = "from segsuite.engine.launch import launch; from segsuite.config import get_cfg"
    code += "; launch(get_cfg)"
    told = run()
    assert told.returncode == 2 and "Traceback" not in told.stderr
    assert "(thirdparty) failed to load: ValueError: broken inside. Fix it" in told.stderr
