import torch

from segsuite.utils import comm
from tests.processes import run_group


def test_single_process():
    assert (comm.get_world_size(), comm.get_rank(), comm.get_local_rank()) == (1, 0, 0)
    assert comm.is_main_process()
    assert comm.gather("a") == comm.all_gather("a") == ["a"]
    assert comm.broadcast_object({"a": 1}) == {"a": 1}
    x = torch.ones(2, requires_grad=True)
    mean = comm.all_reduce_mean(x)
    assert torch.equal(mean, torch.ones(2)) and not mean.requires_grad
    comm.synchronize()


def use_all():
    rank = comm.get_rank()
    total = comm.all_reduce_sum_(torch.tensor([rank + 1]))
    mean = comm.all_reduce_mean(torch.tensor([float(rank)]))
    comm.synchronize()
    return (
        rank,
        comm.get_world_size(),
        comm.get_local_rank(),
        comm.is_main_process(),
        comm.gather(rank * 10),
        comm.all_gather(str(rank)),
        comm.broadcast_object(f"from {rank}"),
        total.item(),
        mean.item(),
    )


def test_two_processes():
    assert run_group(use_all) == [
        (0, 2, 0, True, [0, 10], ["0", "1"], "from 0", 3, 0.5),
        (1, 2, 1, False, [], ["0", "1"], "from 0", 3, 0.5),
    ]
