import copy
import pickle

import pytest
import torch

from segsuite.structures import Boxes, Instances


def instances():
    return Instances(
        (10, 20),
        pred_boxes=Boxes(torch.arange(12.0).view(3, 4)),
        scores=torch.tensor([0.1, 0.2, 0.3]),
        names=["a", "b", "c"],
    )


def test_fields():
    x = instances()
    x.pred_classes = torch.tensor([3, 4, 5])
    assert len(x) == 3 and x.has("pred_classes") and not x.has("masks")
    assert list(x.get_fields()) == ["pred_boxes", "scores", "names", "pred_classes"]
    x.remove("scores")
    with pytest.raises(AttributeError, match="no field 'scores'; the fields are: pred_boxes"):
        _ = x.scores
    with pytest.raises(ValueError, match="'extra' has 2 entries, but 'pred_boxes' has 3"):
        x.extra = [1, 2]
    assert len(Instances((1, 1))) == 0


@pytest.mark.parametrize(
    "item, names",
    [
        (1, ["b"]),
        (-1, ["c"]),
        (slice(1, None), ["b", "c"]),
        (torch.tensor([2, 0]), ["c", "a"]),
        (torch.tensor([False, False, True]), ["c"]),
        (torch.tensor([], dtype=torch.int64), []),
    ],
)
def test_indexing(item, names):
    x = instances()[item]
    assert x.names == names and len(x.pred_boxes) == len(names) and x.image_size == (10, 20)


def test_iteration_and_bounds():
    assert [x.names for x in instances()] == [["a"], ["b"], ["c"]]
    with pytest.raises(IndexError, match="instance 3 of 3"):
        instances()[3]


def test_cat():
    x = instances()
    joined = Instances.cat([x, x[:1]])
    assert joined.names == ["a", "b", "c", "a"] and len(joined.pred_boxes) == 4
    with pytest.raises(ValueError, match=r"\(10, 20\) and \(5, 5\)"):
        Instances.cat([x, Instances((5, 5))])
    with pytest.raises(ValueError, match="the fields"):
        Instances.cat([x, Instances((10, 20), scores=torch.zeros(1))])
    with pytest.raises(ValueError, match="at least one"):
        Instances.cat([])


def test_copy_pickle_to():
    x = instances()
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.to("cpu")):
        assert other.names == x.names and torch.equal(other.scores, x.scores)
        assert other.image_size == x.image_size
