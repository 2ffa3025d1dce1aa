from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from segsuite.config import CfgNode
from segsuite.utils.nested import flatten

words = st.text("abc", min_size=1, max_size=3)
trees = st.dictionaries(
    words,
    st.recursive(st.integers(), lambda t: st.dictionaries(words, t, min_size=1), max_leaves=8),
)


def test_keys_are_joined_and_empty_sections_are_values():
    tree = {"SOLVER": {"LR": 0.1, "EMA": {"ON": True}}, "SEED": 1, "EMPTY": {}, "LIST": [{"a": 1}]}
    assert flatten(tree) == {
        "SOLVER.LR": 0.1,
        "SOLVER.EMA.ON": True,
        "SEED": 1,
        "EMPTY": {},
        "LIST": [{"a": 1}],
    }
    assert flatten({"sem_seg": {"mIoU": 1.0}}, "/") == {"sem_seg/mIoU": 1.0}
    assert flatten(CfgNode({"A": {"B": 2}})) == {"A.B": 2}


@given(trees)
def test_nothing_is_lost(tree):
    rebuilt: dict = {}
    for key, value in flatten(tree).items():
        *parents, leaf = key.split(".")
        node = rebuilt
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    assert rebuilt == tree
