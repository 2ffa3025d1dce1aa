import pytest

from segsuite.config import configurable, get_cfg


class Thing:
    @configurable
    def __init__(self, *, a, b=2, c=3):
        self.values = (a, b, c)

    @classmethod
    def from_config(cls, cfg, scale=1):
        return {"a": cfg.SEED * scale, "b": 20}


class Child(Thing):
    @classmethod
    def from_config(cls, cfg, **kwargs):
        return {**super().from_config(cfg), "c": 30, **kwargs}


def test_ways_of_calling():
    cfg = get_cfg()
    cfg.SEED = 5
    assert Thing(a=1).values == (1, 2, 3)
    assert Thing(cfg).values == (5, 20, 3)
    assert Thing(cfg=cfg).values == (5, 20, 3)
    assert Thing(cfg, 10).values == (50, 20, 3)
    assert Thing(cfg, scale=10, c=4).values == (50, 20, 4)
    assert Child(cfg).values == (5, 20, 30)
    assert Child(cfg, c=1).values == (5, 20, 1)


def test_function():
    @configurable(from_config=lambda cfg, factor: {"seed": cfg.SEED, "factor": factor})
    def build(seed, factor, extra=0):
        return seed, factor, extra

    cfg = get_cfg()
    cfg.SEED = 4
    assert build(1, 2) == (1, 2, 0)
    assert build(cfg, 3) == (4, 3, 0)
    assert build(cfg, factor=3, extra=9) == (4, 3, 9)


def test_errors():
    class NoFromConfig:
        @configurable
        def __init__(self, *, a=1): ...

    class NoDict:
        @configurable
        def __init__(self, *, a=1): ...

        @classmethod
        def from_config(cls, cfg): ...

    NoFromConfig()
    with pytest.raises(TypeError, match="no classmethod from_config"):
        NoFromConfig(get_cfg())
    with pytest.raises(TypeError, match="must return a dict"):
        NoDict(get_cfg())
    with pytest.raises(TypeError):
        Thing(get_cfg(), unknown=1)
    with pytest.raises(TypeError, match="goes on __init__"):

        class Wrong:
            @configurable
            def forward(self): ...
