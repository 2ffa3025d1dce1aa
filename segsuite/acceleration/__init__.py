"""What makes models fast, above all on a CPU: one pass over a plain model, `accelerate`."""

from .accelerate import accelerate, accelerated, remove_acceleration

__all__ = ["accelerate", "accelerated", "remove_acceleration"]
