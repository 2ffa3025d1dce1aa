"""`convert`: recognise a checkpoint by its names, and give it ours."""

from __future__ import annotations

from collections.abc import Collection

from . import (
    detectron2,
    drn,
    hrnet,
    mmsegmentation,
    segformer,
    segmentation_models,
    timm,
    torchvision,
)
from .formats import Conversion, Weights, apply_format

# The first that fits counts: those with more marks stand before those with fewer.
FORMATS = (
    *drn.FORMATS,
    *hrnet.FORMATS,
    *segformer.FORMATS,
    *timm.FORMATS,
    *torchvision.FORMATS,
    *segmentation_models.FORMATS,
    *mmsegmentation.FORMATS,
    *detectron2.FORMATS,
)


def convert(state: Weights, own: Collection[str] | None = None) -> Conversion:
    """The weights `state` of another library under our names.

    A state dict of no format we know is left as it is.

    Args:
        own: the names of the model that will take the weights. Names are then converted only if
            more of them fit it afterwards, and get the prefix the model has for them: a backbone's
            file fits a whole model.
    """
    names = "\n".join(state)
    fmt = next((fmt for fmt in FORMATS if fmt.fits(names)), None)
    plain = Conversion("", dict(state), {name: name for name in state}, [], {})
    conversion = plain if fmt is None else apply_format(fmt, state)
    if own is None:
        return conversion
    candidates = [plain, conversion]
    fits = [fit_names(candidate.weights, own) for candidate in candidates]
    best = max((0, 1), key=lambda i: len(set(fits[i].values()) & set(own)))
    chosen, fit = candidates[best], fits[best]
    chosen.weights = {fit[name]: tensor for name, tensor in chosen.weights.items()}
    chosen.origins = {fit[name]: origin for name, origin in chosen.origins.items() if name in fit}
    return chosen


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
