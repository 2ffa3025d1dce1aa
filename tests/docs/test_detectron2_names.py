"""What docs/coming_from.md calls the same as in Detectron2 has that name at that place."""

from __future__ import annotations

import importlib

import pytest

NAMES = {
    "checkpoint": "load_weights",
    "config": "CfgNode configurable get_cfg load_config",
    "data": """DatasetCatalog DatasetMapper MetadataCatalog
        build_detection_test_loader build_detection_train_loader load_coco_json read_image
        records_to_coco register_coco_instances""",
    "data.transforms": "ColorJitter RandomCrop RandomFlip ResizeShortestEdge",
    "engine": """DefaultPredictor DefaultTrainer HookBase SimpleTrainer TrainerBase
        default_argument_parser default_setup launch""",
    "evaluation": """COCOEvaluator DatasetEvaluator DatasetEvaluators PanopticEvaluator
        SemSegEvaluator inference_on_dataset results_table""",
    "layers": """ASPP BatchNorm2d CNNBlockBase Conv2d ConvTranspose2d DepthwiseSeparableConv2d
        FrozenBatchNorm2d Linear ROIAlign ShapeSpec batched_nms cat get_norm interpolate nms""",
    "modeling": """ANCHOR_GENERATOR_REGISTRY BACKBONE_REGISTRY FPN META_ARCH_REGISTRY
        PROPOSAL_GENERATOR_REGISTRY ROI_BOX_HEAD_REGISTRY ROI_HEADS_REGISTRY
        ROI_MASK_HEAD_REGISTRY RPN RPN_HEAD_REGISTRY SEM_SEG_HEADS_REGISTRY Backbone BasicBlock
        BottleneckBlock CascadeROIHeads FastRCNNConvFCHead FastRCNNOutputLayers GeneralizedRCNN
        MaskRCNNConvUpsampleHead PanopticFPN ProposalNetwork ROIHeads Res5ROIHeads ResNet
        SemSegFPNHead SemanticSegmentor StandardROIHeads build_anchor_generator build_backbone
        build_box_head build_mask_head build_model build_proposal_generator build_roi_heads
        build_sem_seg_head detector_postprocess make_stage""",
    "modeling.box_regression": "Box2BoxTransform",
    "modeling.matcher": "Matcher",
    "modeling.poolers": "ROIPooler",
    "modeling.postprocessing": "detector_postprocess",
    "modeling.sampling": "subsample_labels",
    "solver": "build_lr_multiplier build_optimizer",
    "structures": """BitMasks BoxMode Boxes ImageList Instances PolygonMasks ROIMasks pairwise_iou
        rasterize_polygons""",
    "utils.comm": "all_gather gather get_rank get_world_size is_main_process synchronize",
    "utils.events": "EventStorage get_event_storage",
    "utils.logger": "setup_logger",
    "utils.writers": "ConsoleWriter EventWriter JSONWriter TensorboardWriter",
}


@pytest.mark.parametrize("module", NAMES)
def test_names(module):
    found = importlib.import_module(f"segsuite.{module}")
    names = NAMES[module].split()
    assert [name for name in names if not hasattr(found, name)] == []
