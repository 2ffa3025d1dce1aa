"""What the server of forked processes imports, so that each of them finds it done."""

import torch

import segsuite.engine  # noqa: F401

# PyTorch imports a good part of itself with the first optimiser.
torch.optim.SGD([torch.zeros(1)])
