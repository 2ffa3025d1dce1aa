import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segsuite.checkpoint import Checkpointer
from segsuite.checkpoint.integrity import damage

many = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    state = {"model": {"weight": torch.randn(5, 3), "bias": torch.randn(5)}, "iteration": 1}
    path = Checkpointer(tmp_path_factory.mktemp("sealed")).save("model_0000001", state)
    assert damage(path.read_bytes()) is None
    return path.read_bytes()


def is_damaged(content):
    return damage(bytes(content)) is not None


@many
@given(data=st.data())
def test_any_bit(sealed, data):
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    content = bytearray(sealed)
    content[bit // 8] ^= 1 << bit % 8
    assert is_damaged(content)


def test_every_bit_of_the_end(sealed):
    for bit in range(8 * (len(sealed) - 50), 8 * len(sealed)):
        content = bytearray(sealed)
        content[bit // 8] ^= 1 << bit % 8
        assert is_damaged(content), bit


@many
@given(data=st.data())
def test_any_length(sealed, data):
    length = data.draw(st.integers(0, len(sealed) - 1))
    assert is_damaged(sealed[:length])


@many
@given(data=st.data())
def test_any_block_of_zeros(sealed, data):
    """What a file system may leave of a file that it never wrote."""
    start = data.draw(st.integers(0, len(sealed) - 1))
    stop = data.draw(st.integers(start + 1, len(sealed)))
    zeros = sealed[:start] + bytes(stop - start) + sealed[stop:]
    assert is_damaged(zeros) == (zeros != sealed)


class TestFilesOfOthers:
    """Plain `torch.save` archives, which only have the checksums of their records."""

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "weights.pth"
        torch.save({"weight": torch.arange(1000.0)}, path)
        return path

    def test_whole(self, path):
        assert damage(path.read_bytes()) is None

    def test_flipped_weight(self, path):
        content = bytearray(path.read_bytes())
        content[content.index(torch.tensor(500.0).numpy().tobytes())] ^= 1
        path.write_bytes(content)
        assert "data/0" in damage(path.read_bytes())

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
    def test_cut_short(self, path, share):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        assert damage(path.read_bytes()) == "its end is missing or overwritten"
