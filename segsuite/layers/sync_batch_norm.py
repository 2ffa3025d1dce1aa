"""`SyncBatchNorm2d`: batch normalisation over the images of all processes, on GPU and CPU."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules._functions import SyncBatchNorm as _CudaSyncBatchNorm

from segsuite.utils import comm

from .all_reduce import differentiable_all_reduce_sum


class SyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are those of the whole batch, whatever its division.

    Processes may hold different numbers of pixels. With one process, and in evaluation, it is
    BatchNorm2d itself. On CUDA it runs PyTorch's fused kernels (`nn.SyncBatchNorm`, which refuses
    CPU tensors and any DistributedDataParallel on CPU).
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or comm.get_world_size() == 1:
            return super().forward(x)
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None and self.running_var is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        if x.is_cuda:
            return _CudaSyncBatchNorm.apply(
                x,
                self.weight,
                self.bias,
                self.running_mean,
                self.running_var,
                self.eps,
                self.momentum,
                dist.group.WORLD,
                comm.get_world_size(),
            )
        mean, var, count = self._statistics(x.float())
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1).clamp(min=1), self.momentum)
        scale = self.weight * torch.rsqrt(var + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift.view(-1, 1, 1), x, scale.view(-1, 1, 1)).to(x.dtype)

    @staticmethod
    def _statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean (C,), biased variance (C,) and number of pixels (1,) over all processes."""
        count = x.new_tensor([x.numel() / x.shape[1]])
        total = differentiable_all_reduce_sum(torch.cat([x.sum((0, 2, 3)), count]))
        mean, count = total[:-1] / total[-1], total[-1:].detach()
        # A second round trip, since E[x^2] - mean^2 loses its digits where |mean| >> std.
        deviations = (x - mean.view(-1, 1, 1)).square().sum((0, 2, 3))
        return mean, differentiable_all_reduce_sum(deviations) / count, count
