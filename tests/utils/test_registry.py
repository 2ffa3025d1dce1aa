import pytest

from segsuite.utils.registry import Registry


def test_register_and_get():
    registry = Registry("TOY")

    @registry.register()
    class First: ...

    def second(): ...

    registry.register(second, name="2nd")
    assert registry.get("First") is First and registry.get("2nd") is second
    assert "First" in registry and "second" not in registry
    assert list(registry) == ["2nd", "First"]
    registry.register(First)  # the same object again, as after importlib.reload of a parent


def test_unknown_name_lists_all_and_the_closest():
    registry = Registry("TOY")
    registry.register(object, name="UNetHead")
    registry.register(object, name="FCNHead")
    with pytest.raises(KeyError) as e:
        registry.get("unethead")
    message = e.value.args[0]
    assert "'unethead' is not in the TOY registry" in message
    assert "Did you mean 'UNetHead'?" in message and "FCNHead" in message
    with pytest.raises(KeyError) as e:
        Registry("EMPTY").get("x")
    assert "nothing yet" in e.value.args[0]


def test_name_taken():
    registry = Registry("TOY")
    registry.register(int, name="x")
    with pytest.raises(KeyError, match="already registered"):
        registry.register(float, name="x")


def test_remove():
    registry = Registry("TOY")
    registry.register(int, name="x")
    registry.remove("x")
    assert "x" not in registry
    with pytest.raises(KeyError, match="'x' is not in the TOY registry"):
        registry.remove("x")
