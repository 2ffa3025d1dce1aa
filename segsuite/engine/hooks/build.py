"""The hooks that a configuration can name."""

from __future__ import annotations

from segsuite.config import CfgNode
from segsuite.utils.registry import Registry

from ..train_loop import HookBase

# Callables (cfg) -> HookBase.
HOOK_REGISTRY = Registry("HOOK")


def build_named_hooks(cfg: CfgNode) -> list[HookBase]:
    """Build the hooks of ``HOOKS``, in that order.

    Raises:
        KeyError: no hook has that name.
        TypeError: what was built is no hook.
    """
    built = []
    for name in cfg.HOOKS:
        hook = HOOK_REGISTRY.get(name)(cfg)
        if not isinstance(hook, HookBase):
            raise TypeError(
                f"HOOKS: '{name}' gave a {type(hook).__name__}; what is registered in "
                "HOOK_REGISTRY takes the configuration and returns a HookBase"
            )
        built.append(hook)
    return built
