"""Hugging Face transformers' checkpoints: SegFormer, UPerNet on ConvNeXt or Swin, and ConvNeXt,
Swin, DINOv2 and ResNet as backbones. Those that timm has get timm's names."""

from __future__ import annotations

import torch

from .formats import IMAGENET_CLASSIFIER, NOT_A_WEIGHT, Format, Part, Rules, Settings, Weights
from .mmsegmentation import UPERNET
from .pixels import IMAGENET

_CLASSIFIER = ((r"^classifier\.", IMAGENET_CLASSIFIER), (r"\.position_ids$", NOT_A_WEIGHT))

_MIT: Rules = (
    *((rf"^patch_embeddings\.{i}\.proj\.", f"patch_embed{i + 1}.proj.") for i in range(4)),
    *((rf"^patch_embeddings\.{i}\.layer_norm\.", f"patch_embed{i + 1}.norm.") for i in range(4)),
    *((rf"^block\.{i}\.", f"block{i + 1}.") for i in range(4)),
    *((rf"^layer_norm\.{i}\.", f"norm{i + 1}.") for i in range(4)),
    (r"\.layer_norm_(\d)\.", r".norm\1."),
    (r"\.attention\.self\.(query|key|value)\.", lambda m: f".attn.{m[1][0]}."),
    (r"\.attention\.self\.sr\.", ".attn.sr."),
    (r"\.attention\.self\.layer_norm\.", ".attn.norm."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.mlp\.dense(\d)\.", r".mlp.fc\1."),
)
_SEGFORMER_HEAD: Rules = (
    *((rf"^linear_c\.{i}\.", f"linear_c{i + 1}.") for i in range(4)),
    (r"^batch_norm\.", "linear_fuse.norm."),
    (r"^classifier\.", "linear_pred."),
)
_CONVNEXT: Rules = (
    (r"^embeddings\.patch_embeddings\.", "stem.0."),
    (r"^embeddings\.layernorm\.", "stem.1."),
    (r"^encoder\.stages\.(\d)\.downsampling_layer\.", r"stages.\1.downsample."),
    (r"^encoder\.stages\.(\d)\.layers\.", r"stages.\1.blocks."),
    (r"\.dwconv\.", ".conv_dw."),
    (r"\.layernorm\.", ".norm."),
    (r"\.pwconv(\d)\.", r".mlp.fc\1."),
    (r"\.grn\.", ".mlp.grn."),
    (r"\.layer_scale_parameter$", ".gamma"),
    (r"^layernorm\.", "head.norm."),
)
_ATTENTION: Rules = (
    (r"\.attention\.(self|attention)\.(query|key|value)\.", lambda m: f".attn.{m[2][0]}."),
    (r"\.attention\.self\.relative_position", ".attn.relative_position"),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
)
_SWIN: Rules = (
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.norm\.", "patch_embed.norm."),
    # The layer that halves the resolution ends a stage there, and begins the next in timm.
    *((rf"^encoder\.layers\.{i}\.downsample\.", f"layers.{i + 1}.downsample.") for i in range(3)),
    (r"^encoder\.layers\.", "layers."),
    *_ATTENTION,
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(\.blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"^layernorm\.", "norm."),
)
_DINOV2: Rules = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.register_tokens$", "reg_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    *_ATTENTION,
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.fc1."),
    (r"\.mlp\.weights_out\.", ".mlp.fc2."),
    (r"^layernorm\.", "norm."),
)
_RESNET: Rules = (
    (r"^embedder\.embedder\.convolution\.", "stem.conv1."),
    (r"^embedder\.embedder\.normalization\.", "stem.conv1.norm."),
    *((rf"^encoder\.stages\.{i}\.layers\.", f"res{i + 2}.") for i in range(4)),
    *((rf"\.layer\.{i}\.convolution\.", f".conv{i + 1}.") for i in range(3)),
    *((rf"\.layer\.{i}\.normalization\.", f".conv{i + 1}.norm.") for i in range(3)),
    (r"\.shortcut\.convolution\.", ".shortcut."),
    (r"\.shortcut\.normalization\.", ".shortcut.norm."),
)


def _joined(weights: Weights, parts: str, joint: str) -> Weights:
    """One matrix of queries, keys and values, whichever of them `parts` names."""
    whole: Weights = {}
    for name, tensor in weights.items():
        module, found, leaf = name.partition(f".attn.{parts[0]}.")
        names = [f"{module}.attn.{part}.{leaf}" for part in parts]
        if found and all(n in weights for n in names):
            whole[f"{module}.attn.{joint}.{leaf}"] = torch.cat([weights[n] for n in names])
        elif not any(f".attn.{part}." in name for part in parts):
            whole[name] = tensor
    return whole


def _keys_and_values(weights: Weights) -> Weights:
    return _joined(weights, "kv", "kv")


def _queries_keys_and_values(weights: Weights) -> Weights:
    return _joined(weights, "qkv", "qkv")


def _dinov2(weights: Weights) -> Weights:
    """With registers, timm has the class token's position in the token, not in the table."""
    weights = _queries_keys_and_values(weights)
    if "reg_token" in weights and "pos_embed" in weights:
        positions = weights["pos_embed"]
        weights["cls_token"] = weights["cls_token"] + positions[:, :1]
        weights["pos_embed"] = positions[:, 1:]
    return weights


def _segformer(weights: Weights) -> Settings:
    return {**IMAGENET, "MODEL.MIT.NORM_EPS": 1e-5}


def _upernet(weights: Weights) -> Settings:
    settings: Settings = dict(IMAGENET)
    is_swin = any("relative_position_bias_table" in name for name in weights)
    if is_swin:
        settings["MODEL.TIMM.PAD_BEFORE_SHIFT"] = True
    # Of Swin they are nn.LayerNorm as it is.
    eps = 1e-5 if is_swin else 1e-6
    is_of_head = "sem_seg_head.feature_norms.0.weight" in weights
    if is_of_head:
        settings["MODEL.UPERNET.FEATURE_NORM_EPS"] = eps
    if not is_of_head or "aux_head.conv.weight" in weights:
        settings |= {"MODEL.TIMM.FEATURE_NORM": "LN", "MODEL.TIMM.FEATURE_NORM_EPS": eps}
    return settings


def _imagenet(weights: Weights) -> Settings:
    return dict(IMAGENET)


def _resnet(weights: Weights) -> Settings:
    return {**IMAGENET, "MODEL.RESNETS.STRIDE_IN_1X1": False, "MODEL.RESNETS.AVG_DOWN": False}


_IN_TIMM = (
    (
        "ConvNeXt",
        r"embeddings\.patch_embeddings\.weight",
        r"encoder\.stages\.0\.layers\.0\.dwconv\.weight",
        _CONVNEXT,
        dict,
        ((r"\.mlp\.grn\.(weight|bias)$", torch.flatten),),
    ),
    (
        "Swin",
        r"embeddings\.patch_embeddings\.projection\.weight",
        r"encoder\.layers\.0\.blocks\.0\.attention\.self\.relative_position_bias_table",
        _SWIN,
        _queries_keys_and_values,
        (),
    ),
)

FORMATS = (
    Format(
        "transformers SegFormer",
        marks=(
            r"^segformer\.encoder\.patch_embeddings\.0\.proj\.weight",
            r"^decode_head\.linear_c\.0\.proj\.weight",
        ),
        parts=(
            Part("segformer.encoder.", "backbone.", _MIT),
            Part("decode_head.", "sem_seg_head.", _SEGFORMER_HEAD),
        ),
        finish=_keys_and_values,
        settings=_segformer,
    ),
    Format(
        "transformers SegFormer's encoder",
        marks=(
            r"^(segformer\.)?encoder\.patch_embeddings\.0\.proj\.weight",
            r"encoder\.block\.0\.0\.attention\.self\.query\.weight",
        ),
        parts=(Part("segformer.encoder.", "", _MIT), Part("encoder.", "", _MIT)),
        unused=_CLASSIFIER,
        finish=_keys_and_values,
        settings=_segformer,
    ),
    *(
        Format(
            f"transformers UPerNet on {name}",
            marks=(
                rf"^backbone\.{embedding}",
                rf"^backbone\.{block}",
                r"^decode_head\.psp_modules\.0\.1\.conv\.weight",
            ),
            parts=(
                *(
                    Part(f"backbone.hidden_states_norms.stage{i + 1}.", norms.format(i))
                    for i in range(4)
                ),
                Part("backbone.", "backbone.net.", rules),
                Part("decode_head.", "sem_seg_head.", UPERNET),
                Part("auxiliary_head.", "aux_head.", ((r"^convs\.0\.", "conv."), *UPERNET)),
            ),
            unused=((r"relative_position_index$", NOT_A_WEIGHT),),
            values=values,
            finish=finish,
            settings=_upernet,
        )
        # The norms of features are the backbone's there, for both heads; without an auxiliary head
        # they may be the head's, as in segmentation_models.pytorch.
        for norms in ("backbone.norms.f{}.", "sem_seg_head.feature_norms.{}.")
        for name, embedding, block, rules, finish, values in _IN_TIMM
    ),
    *(
        Format(
            f"transformers {name}",
            marks=(
                rf"^(convnext\.|convnextv2\.|swin\.)?{embedding}",
                rf"^(convnext\.|convnextv2\.|swin\.)?{block}",
            ),
            parts=(
                *(Part(prefix, "", rules) for prefix in ("convnextv2.", "convnext.", "swin.")),
                Part("", "", rules),
            ),
            unused=(
                *_CLASSIFIER,
                (r"^hidden_states_norms\.", "of the outputs of a backbone"),
                (r"relative_position_index$", NOT_A_WEIGHT),
            ),
            values=values,
            finish=finish,
            settings=_imagenet,
        )
        for name, embedding, block, rules, finish, values in _IN_TIMM
    ),
    Format(
        "transformers DINOv2",
        marks=(
            r"^(dinov2\.|dinov2_with_registers\.)?embeddings\.cls_token",
            r"encoder\.layer\.0\.layer_scale1\.lambda1",
        ),
        parts=(
            *(Part(prefix, "", _DINOV2) for prefix in ("dinov2_with_registers.", "dinov2.")),
            Part("", "", _DINOV2),
        ),
        unused=(*_CLASSIFIER, (r"embeddings\.mask_token$", "of masked training")),
        finish=_dinov2,
        settings=_imagenet,
    ),
    Format(
        "transformers ResNet",
        marks=(
            r"^(resnet\.)?embedder\.embedder\.convolution\.weight",
            r"encoder\.stages\.0\.layers\.0\.layer\.0\.convolution\.weight",
        ),
        parts=(Part("resnet.", "", _RESNET), Part("", "", _RESNET)),
        unused=_CLASSIFIER,
        settings=_resnet,
    ),
)
