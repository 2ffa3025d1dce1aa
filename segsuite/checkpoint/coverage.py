"""Whether what a file has is enough of a model, and all of it is used: what would compute something
else, or start from noise, is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import nn

from segsuite.errors import WeightsError

from .tables import examples, group_names, table

# Counters, and constants that are written into some files.
_NO_WEIGHTS = (
    "num_batches_tracked",
    "relative_position_index",
    "attn_mask",
    "position_ids",
    "pixel_mean",
    "pixel_std",
)
# Of a backbone, that may be missing in files of it.
_SMALL_PART = 0.2
_CONSTANT_PARTS = ("anchor_generator", "criterion")


def check_extras(
    model: nn.Module,
    unexpected: Mapping[str, torch.Tensor],
    origins: Mapping[str, str],
    label: str,
) -> None:
    """Refuse weights inside of what is loaded that the model has no layer for: with attention in
    its blocks, or more of them, the file's network is another one, however well the rest fits.

    Whole parts that a model does without are fine: a classifier, an auxiliary or a mask head, and
    the stages behind its last feature.

    Args:
        unexpected: tensors that the model does not have, by the names that they would have in it.
        origins: these as they are in the file.
        label: the file, for the message.

    Raises:
        WeightsError: there are such weights.
    """
    modules = dict(model.named_modules())
    roots = _part_roots(modules)
    inside = [
        name
        for name, tensor in unexpected.items()
        if not name.endswith(_NO_WEIGHTS) and not set(name.split(".")) & set(_CONSTANT_PARTS)
        # Caffe2's files have a bias of zeros for the first convolution.
        if not name.endswith(".bias") or tensor.is_meta or tensor.any()
        if _deepest(name, modules) not in roots
    ]
    if inside:
        names = [origins.get(name, name) for name in inside]
        rows = group_names(names, [*origins.values(), *names])
        raise WeightsError(
            f"{label} is of another network: it has weights inside of layers that are loaded, for "
            f"which the model has none, so it would compute something else\n{table(rows)}\n"
            "Choose the architecture and depth of the file, or another file; where its backbone "
            "alone is wanted, say so: MODEL.WEIGHTS_PARTS [backbone]"
        )


def check_share(
    model: nn.Module,
    own: Collection[str],
    found: Collection[str],
    names: Collection[str],
    label: str,
) -> None:
    """Refuse a load that leaves most of a model at its initial values, unless it fills the
    backbone, which is how a training usually starts.

    Args:
        own: the model's names.
        found: those of them that are loaded, some rows of them at least.
        names: the file's.

    Raises:
        WeightsError: more than half are missing, and some of every backbone; or much of a backbone
            that is loaded otherwise.
    """
    counted = [name for name in own if not name.endswith(_NO_WEIGHTS)]
    missing = set(counted) - set(found)
    whole, cut = [], []
    for prefix in _backbone_prefixes(model):
        inside = [name for name in counted if name.startswith(prefix)]
        lacking = sum(name in missing for name in inside)
        if inside and not lacking:
            whole.append(prefix)
        # What is not in files of classifiers, such as layers made of theirs, is a small part.
        elif _SMALL_PART * len(inside) < lacking < len(inside):
            cut.append(prefix)
    if not cut and (whole or len(missing) * 2 <= len(counted)):
        return
    raise WeightsError(
        f"{label} has {len(counted) - len(missing)} of the model's {len(counted)} tensors, and not "
        f"its backbone as a whole: the others would be left at random values. The file has "
        f"{examples(names)}; the model has {examples(own)}. It may be of another architecture or "
        "depth: `segsuite convert FILE OUTPUT` says what is known of it"
    )


def _backbone_prefixes(model: nn.Module) -> list[str]:
    """The backbones in `model`, those inside of pyramids rather than these."""
    names = [
        name
        for name, module in model.named_modules()
        if hasattr(module, "output_shape") or name in ("backbone", "encoder")
    ]
    inner = [n for n in names if not any(o != n and o.startswith(_join(n, "")) for o in names)]
    return [f"{name}." if name else "" for name in inner]


def _part_roots(modules: Mapping[str, nn.Module]) -> set[str]:
    """Modules that a file may have more in: the model, its parts, its backbones, what these consist
    of if it is one, and what is at their end, which is cut behind the last feature."""
    roots = {""}
    if not hasattr(modules[""], "output_shape"):
        roots |= {name for name in modules if "." not in name}
    backbones = [name for name, m in modules.items() if hasattr(m, "output_shape")]
    for name in backbones:
        roots.add(name)
        net = name
        while len(children := [n for n, _ in modules[net].named_children() if n != "norms"]) == 1:
            net = _join(net, children[0])
            roots.add(net)
        roots |= set(_ends(net, modules))
    return roots


def _ends(net: str, modules: Mapping[str, nn.Module]) -> Iterable[str]:
    """The last part of `net`, if it is a sequence of layers of timm's or torchvision's."""
    children = list(modules[net].named_children())
    if children and children[-1][0] in ("blocks", "features"):
        yield _join(net, children[-1][0])


def _deepest(name: str, modules: Mapping[str, nn.Module]) -> str:
    """The innermost of `modules` that `name` lies in; one that does nothing stands for none."""
    while name not in modules or isinstance(modules[name], nn.Identity):
        name = name.rpartition(".")[0]
    return name


def _join(module: str, child: str) -> str:
    return f"{module}.{child}" if module else child
