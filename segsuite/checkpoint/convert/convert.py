"""`convert`: recognise a checkpoint by its names, and give it ours."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from . import (
    detectron2,
    drn,
    hrnet,
    mmsegmentation,
    segformer,
    segmentation_models,
    timm,
    torchvision,
    torchvision_detection,
    transformers,
)
from .formats import Conversion, Format, Weights, apply_format

# The first that fits counts: those with more marks stand before those with fewer.
FORMATS = (
    *drn.FORMATS,
    *hrnet.FORMATS,
    *segformer.FORMATS,
    *transformers.FORMATS,
    *timm.FORMATS,
    *torchvision_detection.FORMATS,
    *torchvision.FORMATS,
    *segmentation_models.FORMATS,
    *mmsegmentation.FORMATS,
    *detectron2.FORMATS,
)


# The attribute that holds the network in the modules of training frameworks.
_WRAPPERS = ("model.", "net.", "network.", "module.", "student.", "ema_model.")
_OUTSIDE = "beside the network"


def convert(state: Weights, own: Collection[str] | None = None) -> Conversion:
    """The weights `state` of another library under our names.

    A state dict of no format we know is left as it is.

    Args:
        own: the names of the model that will take the weights. Names are then converted only if
            more of them fit it afterwards, and get the prefix the model has for them: a backbone's
            file fits a whole model.
    """
    plain = Conversion("", dict(state), {name: name for name in state}, [], {})
    candidates = [plain, *_conversions(state)]
    if own is None:
        return candidates[1] if candidates[1:] else plain
    fits = [fit_names(candidate.weights, own) for candidate in candidates]
    best = max(range(len(fits)), key=lambda i: len(set(fits[i].values()) & set(own)))
    chosen, fit = candidates[best], fits[best]
    chosen.weights = {fit[name]: tensor for name, tensor in chosen.weights.items()}
    chosen.origins = {fit[name]: origin for name, origin in chosen.origins.items() if name in fit}
    return chosen


def _conversions(state: Weights) -> Iterator[Conversion]:
    """`state` by each format that it has; if it has none, without what wraps its network."""
    formats = _formats("\n".join(state))
    yield from (apply_format(fmt, state) for fmt in formats)
    for prefix in () if formats else _WRAPPERS:
        inside = {n.removeprefix(prefix): w for n, w in state.items() if n.startswith(prefix)}
        for conversion in _conversions(inside) if inside else ():
            outside = [(name, _OUTSIDE) for name in state if not name.startswith(prefix)]
            conversion.unused = [(prefix + n, why) for n, why in conversion.unused] + outside
            conversion.origins = {ours: prefix + n for ours, n in conversion.origins.items()}
            yield conversion


def _formats(names: str) -> list[Format]:
    """The formats of `names`: the first that fits, and others of the same network, which is built
    from other parts there. Those behind it that only look alike do not count."""
    formats = [fmt for fmt in FORMATS if fmt.fits(names)]
    if not formats or formats[0].refused:
        return formats[:1]
    return [fmt for fmt in formats if fmt.name == formats[0].name and not fmt.refused]


def fit_names(names: Collection[str], own: Collection[str]) -> dict[str, str]:
    """Each of `names` and what it is called in a model of names `own`.

    One prefix goes before all of them, the one with which most names are the model's: none,
    "backbone.", "backbone.bottom_up.", ... Dots that timm turned into underscores when it took a
    model apart ("stages_3.blocks" from "stages.3.blocks") count as dots.
    """
    dotted = {name: name.replace("_", ".") for name in names}
    by_dotted = {name.replace("_", "."): name for name in own}
    if len(by_dotted) < len(own) or len(set(dotted.values())) < len(dotted):
        dotted, by_dotted = {name: name for name in names}, {name: name for name in own}
    ends = set(dotted.values())
    prefixes = [""]
    for name in by_dotted:
        parts = name.split(".")
        for i in range(1, len(parts)):
            if ".".join(parts[i:]) in ends:
                prefixes.append(".".join(parts[:i]) + ".")
    counts = dict.fromkeys(prefixes, 0)
    for prefix in counts:
        counts[prefix] = sum(prefix + end in by_dotted for end in ends)
    prefix = max(counts, key=lambda p: (counts[p], -len(p)))
    return {name: by_dotted.get(prefix + end, prefix + name) for name, end in dotted.items()}
