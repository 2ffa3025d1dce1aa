"""Class-agnostic proposals of where objects are."""

from .build import PROPOSAL_GENERATOR_REGISTRY, build_proposal_generator
from .proposals import find_top_proposals
from .rpn import RPN
from .rpn_head import RPN_HEAD_REGISTRY, StandardRPNHead, build_rpn_head

__all__ = [
    "PROPOSAL_GENERATOR_REGISTRY",
    "RPN",
    "RPN_HEAD_REGISTRY",
    "StandardRPNHead",
    "build_proposal_generator",
    "build_rpn_head",
    "find_top_proposals",
]
