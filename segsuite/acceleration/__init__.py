"""What makes models fast: one pass over a plain model, `accelerate`."""

from .accelerate import accelerate, accelerated, remove_acceleration
from .cuda_graph import check_graph_limit

__all__ = ["accelerate", "accelerated", "check_graph_limit", "remove_acceleration"]
