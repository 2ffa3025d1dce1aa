import multiprocessing as mp
import os
import socket

import torch
import torch.distributed as dist

from segsuite.utils import comm


def test_single_process():
    assert (comm.get_world_size(), comm.get_rank(), comm.get_local_rank()) == (1, 0, 0)
    assert comm.is_main_process()
    assert comm.gather("a") == comm.all_gather("a") == ["a"]
    assert comm.broadcast_object({"a": 1}) == {"a": 1}
    x = torch.ones(2, requires_grad=True)
    mean = comm.all_reduce_mean(x)
    assert torch.equal(mean, torch.ones(2)) and not mean.requires_grad
    comm.synchronize()


def _worker(rank, port, queue):
    os.environ["LOCAL_RANK"] = str(rank)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", world_size=2, rank=rank)
    total = comm.all_reduce_sum_(torch.tensor([rank + 1]))
    mean = comm.all_reduce_mean(torch.tensor([float(rank)]))
    comm.synchronize()
    queue.put(
        (
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
    )
    dist.destroy_process_group()


def test_two_processes():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_worker, args=(r, port, queue)) for r in range(2)]
    for p in processes:
        p.start()
    results = sorted(queue.get(timeout=60) for _ in processes)
    for p in processes:
        p.join(timeout=60)
        assert p.exitcode == 0
    assert results == [
        (0, 2, 0, True, [0, 10], ["0", "1"], "from 0", 3, 0.5),
        (1, 2, 1, False, [], ["0", "1"], "from 0", 3, 0.5),
    ]
