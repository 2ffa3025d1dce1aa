"""The semantic losses a configuration can name."""

from __future__ import annotations

from segsuite.utils.registry import Registry

# Pure functions (logits, targets, *, ignore_index, ...) -> scalar, with
#   logits (N, K, H, W) float32, targets (N, H, W) int64 in [0, K) or ignore_index.
# With K = 1 the logits are those of a sigmoid, the probability of label 1; targets are 0 and 1, and
# class_weights are two. `label_logits` makes of them what a softmax takes.
# A further keyword argument `some_option` gets the value of MODEL.SEM_SEG_HEAD.LOSS.SOME_OPTION.
#
# What a loss divides by is averaged over processes (`num_valid`), so that the mean over processes
# of the losses, and of their gradients, is what one process computes from the whole batch. A batch
# of ignored pixels gives a zero with a gradient of zeros.
SEM_SEG_LOSS_REGISTRY = Registry("SEM_SEG_LOSS")
