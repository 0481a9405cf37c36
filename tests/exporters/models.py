"""Export detectors of torchvision and transformers, and run their own post-processing; without edgecsp and pytest.

    python models.py NAME export model.onnx         # writes the ONNX file
    python models.py NAME detect batch.npy out.npz  # boxes, scores and labels of (N, 3, H, W) images, in their pixels

Weights are random, the same in both: scores are spread so that some are high.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import torch

HW = {"ssdlite": (320, 320), "yolos": (128, 160)}
SIDE = (256, 320)
Rows = Tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def spread(*layers: Any) -> None:
    """Random biases and weights of class heads: an untrained one says the same of everything."""
    for layer in layers:
        torch.nn.init.normal_(layer.weight, std=0.5)
        torch.nn.init.normal_(layer.bias, std=1.0)


def torchvision_model(name: str) -> Any:
    from torchvision.models import detection

    build = {
        "ssdlite": detection.ssdlite320_mobilenet_v3_large,
        "retinanet": detection.retinanet_resnet50_fpn,
        "fcos": detection.fcos_resnet50_fpn,
        "fasterrcnn": detection.fasterrcnn_mobilenet_v3_large_320_fpn,
    }[name]
    sizes = {} if name == "ssdlite" else {"min_size": SIDE[0], "max_size": SIDE[1]}
    model = build(weights=None, weights_backbone=None, num_classes=91, **sizes)
    heads = {
        "ssdlite": lambda: [block[1] for block in model.head.classification_head.module_list],
        "retinanet": lambda: [model.head.classification_head.cls_logits],
        "fcos": lambda: [model.head.classification_head.cls_logits],
        "fasterrcnn": lambda: [model.roi_heads.box_predictor.cls_score],
    }
    spread(*heads[name]())
    return model


def transformers_model(name: str) -> Any:
    import transformers as t

    if name == "rtdetr":
        backbone = t.RTDetrResNetConfig(
            embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        )  # fmt: skip
        config = t.RTDetrConfig(
            backbone_config=backbone, encoder_in_channels=[32, 48, 64], decoder_layers=2, encoder_ffn_dim=64,
            decoder_ffn_dim=64, d_model=32, encoder_hidden_dim=32, decoder_in_channels=[32, 32, 32], num_labels=80,
            feat_strides=[8, 16, 32], decoder_attention_heads=4, encoder_attention_heads=4, num_queries=300,
        )  # fmt: skip
        model = t.RTDetrForObjectDetection(config)
        spread(*model.class_embed) if hasattr(model, "class_embed") else spread(*model.model.decoder.class_embed)
        return model
    config = t.YolosConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=list(HW["yolos"]),
        num_detection_tokens=100, num_labels=91,
    )  # fmt: skip
    model = t.YolosForObjectDetection(config)
    spread(model.class_labels_classifier.layers[-1])
    return model


def transformers_rows(name: str, model: Any, images: torch.Tensor) -> List[Rows]:
    import transformers as t

    processor = {"rtdetr": t.RTDetrImageProcessor, "yolos": t.YolosImageProcessor}[name]()
    found = []
    for image in images:
        results = processor.post_process_object_detection(
            model(pixel_values=image[None]), threshold=0.0, target_sizes=[tuple(image.shape[1:])]
        )
        found.append((results[0]["boxes"], results[0]["scores"], results[0]["labels"]))
    return found


def torchvision_rows(name: str, model: Any, images: torch.Tensor) -> List[Rows]:
    return [(each["boxes"], each["scores"], each["labels"]) for image in images for each in model([image])]


NAMES: Dict[str, Tuple[Callable[[str], Any], Callable[[str, Any, torch.Tensor], List[Rows]]]] = {
    **dict.fromkeys(("ssdlite", "retinanet", "fcos", "fasterrcnn"), (torchvision_model, torchvision_rows)),
    **dict.fromkeys(("rtdetr", "yolos"), (transformers_model, transformers_rows)),
}


class Named(torch.nn.Module):
    """A model of transformers as its ONNX exporters see it: logits and boxes."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        outputs = self.model(pixel_values=pixel_values)
        return outputs.logits, outputs.pred_boxes


def export(name: str, model: Any, path: str) -> None:
    image = torch.rand(1, 3, *HW.get(name, SIDE))
    if name in ("rtdetr", "yolos"):
        torch.onnx.export(
            Named(model), (image,), path, input_names=["pixel_values"], output_names=["logits", "pred_boxes"],
            opset_version=17, dynamo=False,
        )  # fmt: skip
    else:
        names = ["boxes", "labels", "scores"] if name == "fasterrcnn" else ["boxes", "scores", "labels"]
        torch.onnx.export(
            model, ([image[0]],), path, input_names=["image"], output_names=names, opset_version=17, dynamo=False
        )


def main(name: str, action: str, source: str, target: str = "") -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    build, rows = NAMES[name]
    model = build(name).eval()
    with torch.no_grad():
        if action == "export":
            export(name, model, source)
            return
        images = torch.from_numpy(np.load(source))
        found = rows(name, model, images)
    columns = {
        f"{i}_{key}": values.numpy()
        for i, row in enumerate(found)
        for key, values in zip(("boxes", "scores", "labels"), row)
    }
    np.savez(target, **columns)


if __name__ == "__main__":
    main(*sys.argv[1:])
