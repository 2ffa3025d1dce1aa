"""The hooks that a configuration can name."""

from __future__ import annotations

from segsuite.config import CfgNode, build_entry, read_entries
from segsuite.utils.registry import Registry

from ..train_loop import HookBase

# Callables (cfg) -> HookBase, or with arguments (cfg, **arguments).
HOOK_REGISTRY = Registry("HOOK")


def build_named_hooks(cfg: CfgNode) -> list[HookBase]:
    """Build the hooks of ``HOOKS``, in that order.

    Raises:
        UnknownNameError: no hook has that name, or it does not take an argument.
        ConfigError: an entry is neither a name nor a name with arguments.
        TypeError: what was built is no hook.
    """
    built = []
    for name, arguments in read_entries(cfg.HOOKS, "HOOKS"):
        hook = build_entry(HOOK_REGISTRY.get(name), name, arguments, "HOOKS", cfg)
        if not isinstance(hook, HookBase):
            raise TypeError(
                f"HOOKS: '{name}' gave a {type(hook).__name__}; what is registered in "
                "HOOK_REGISTRY takes the configuration and returns a HookBase"
            )
        built.append(hook)
    return built
