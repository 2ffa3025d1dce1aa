"""What a model costs, by module, and where the time of a run goes."""

from .analysis import Memory, ModuleCost, measure_memory, module_costs
from .benchmark import benchmark_evaluation, benchmark_loader, benchmark_training
from .synthetic import synthetic_batch

__all__ = [
    "Memory",
    "ModuleCost",
    "benchmark_evaluation",
    "benchmark_loader",
    "benchmark_training",
    "measure_memory",
    "module_costs",
    "synthetic_batch",
]
