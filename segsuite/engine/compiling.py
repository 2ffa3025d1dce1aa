"""`compile_model`: what MODEL.COMPILE has torch.compile do."""

from __future__ import annotations

from torch import nn

from segsuite.errors import ConfigError


def compile_model(model: nn.Module, what: bool | str) -> None:
    """Compile a model in place, so names of parameters and modules stay.

    Args:
        what: True: as the model's own ``compile`` has it; "backbone": its ``backbone`` alone, a
            pyramid included, with the sizes of images as symbols; False: nothing.

    Raises:
        ConfigError: another value, or a model without backbone.
    """
    if what is True:
        model.compile()
    elif what == "backbone":
        backbone = getattr(model, "backbone", None)
        if not isinstance(backbone, nn.Module):
            raise ConfigError(
                f"MODEL.COMPILE is 'backbone', but {type(model).__name__} has no module of that "
                "name; set it to True to compile the model, or to False"
            )
        # Sizes are symbols from the first batch on; otherwise the second size is traced again.
        backbone.compile(dynamic=True)
    elif what is not False:
        raise ConfigError(f"MODEL.COMPILE is {what!r}; it can be False, True or 'backbone'")
