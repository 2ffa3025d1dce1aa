"""The evaluators by name; `build` has all of this package in it."""

from segsuite.utils.registry import Registry

# Callables (cfg, dataset_name, output_dir, **arguments) -> DatasetEvaluator, by `evaluator_type` of
# the data set's metadata or an entry of TEST.EVALUATORS.
EVALUATOR_REGISTRY = Registry("EVALUATOR")
