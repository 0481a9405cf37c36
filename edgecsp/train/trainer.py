"""A network that learns: the optimiser, the moving average, one step at a time, and all of it as a checkpoint."""

from __future__ import annotations

import ctypes
import math
from typing import Any, Dict, FrozenSet, List, Mapping, Optional

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..system import cpu
from . import distributed
from .distill import Distillation
from .loss import Loss, Terms
from .model import Layout
from .network import Network, yolo_heads
from .settings import TrainSettings

CLIP = 10.0  # the largest norm of a step's gradient
MOST_SKIPPED = 10  # steps in a row whose loss is not finite, after which a run has diverged


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory: a step that maps and faults in every tensor anew takes 1.6 times as long."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return  # no glibc
    m_trim_threshold, m_mmap_max = -1, -4
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, 2**31 - 1)


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies bfloat16 itself; where it does not, float32 is faster."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    return bool({"AVX-512 BF16", "AMX BF16"} & set(cpu.isa()))


class Diverged(UsageError):
    """The loss, or the network, is not finite any more."""


class Trainer:
    """The state of a run after `step` optimiser steps of `steps`.

    `frozen` names tensors that stay as they are for the first `freeze_steps`, the statistics of batch-norms too; the
    heads' own layers always learn. With `freezes_statistics` the statistics stay throughout: those of augmented batches
    are others, and layers that fit the old ones would have to learn anew. `skipped` counts the steps whose loss or
    gradient was not finite.
    """

    def __init__(self, layout: Layout, settings: TrainSettings, steps: int, device: str = "cpu") -> None:
        self.settings, self.steps, self.device = settings, steps, device
        net = layout.net()
        torch.manual_seed(settings.seed)
        self.network = Network(net).start().to(device, memory_format=torch.channels_last)
        self.average = Network(net).to(device, memory_format=torch.channels_last)
        self.average.load_state_dict(self.network.state_dict())
        self.loss = Loss(list(yolo_heads(net).values()), settings.assigner, settings.smooth)
        # One call for all tensors: a step of the hundreds of small ones waits for every thread several times.
        self.optimiser = torch.optim.AdamW(_groups(self.network, settings.decay), settings.lr, fused=True)
        self.distillation: Optional[Distillation] = None
        self.step = 0
        self.frozen: FrozenSet[str] = frozenset()
        self.freeze_steps = 0
        self.freezes_statistics = False
        self.skipped = 0
        self._skipped_in_a_row = 0
        self._several: Optional[nn.Module] = None  # the network as `distributed.wrap` has it
        self._heads = {f"convolutions.{x.layer}." for x, _ in net.heads}
        self._bfloat16 = has_bfloat16(device)

    def begin_with(self, state: Mapping[str, Tensor]) -> int:
        """Take every tensor of another network that has its name and shape here; how many of ours that were."""
        mine = self.network.state_dict()
        taken = [key for key, value in state.items() if key in mine and mine[key].shape == value.shape]
        with torch.no_grad():
            for key in taken:
                mine[key].copy_(state[key])
        self.average.load_state_dict(mine)
        self.frozen = frozenset(key for key in taken if not any(key.startswith(head) for head in self._heads))
        return len(taken)

    def learn(self, images: Tensor, targets: Tensor) -> Terms:
        """Take one optimiser step on a batch of `data.batches`; return the loss over all processes, without a gradient.

        A step whose loss or gradient is not finite changes nothing and is counted in `skipped`. Raises `Diverged`
        after `MOST_SKIPPED` of them in a row.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        if self._several is None:
            self._several = distributed.wrap(self.network, self.device)
        self._set_modes()
        self.optimiser.zero_grad(set_to_none=True)
        x = images.to(self.device, non_blocking=True).to(memory_format=torch.channels_last).float().div_(255)
        targets = targets.to(self.device, non_blocking=True)
        # bfloat16 has float32's range, so nothing is scaled; the loss itself is computed in float32.
        side = (images.shape[2], images.shape[3])
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self._bfloat16):
            outputs = self._several(x)
            taught = self.distillation.teach(x) if self.distillation else []
        own = self.loss(outputs, targets, side, distributed.share_of)
        if self.distillation:
            soft = self.distillation(outputs, taught, side, distributed.share_of)
            own = Terms(*(hard + term for hard, term in zip(own, soft)))
        # The mean of the processes' is that of the whole batch: see `distributed.share_of`.
        terms = Terms(*(distributed.total(torch.stack(own).detach()) / distributed.size()))
        if bool(torch.isfinite(terms.total)) and self._descend(own.total):
            self._skipped_in_a_row = 0
            self._follow()
        else:
            self._skip(terms)
        self.step += 1
        return terms

    def _set_modes(self) -> None:
        """All layers learn, but for frozen batch-norms, which keep their statistics."""
        self.network.train()
        if self.freezes_statistics or self.step < self.freeze_steps:
            for name, module in self.network.named_modules():
                if isinstance(module, nn.BatchNorm2d) and f"{name}.running_mean" in self.frozen:
                    module.eval()

    def _descend(self, loss: Tensor) -> bool:
        """Let the optimiser take a step, unless the gradient is not finite; whether it did."""
        loss.backward()
        if self.step < self.freeze_steps:
            for name, parameter in self.network.named_parameters():
                if name in self.frozen:
                    parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        if not bool(torch.isfinite(norm)):
            return False
        self.optimiser.step()
        return True

    @torch.no_grad()
    def _skip(self, terms: Terms) -> None:
        """Count a step that changes nothing. Statistics that it has spoilt are the average's again."""
        self.skipped += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= MOST_SKIPPED:
            what = "loss" if not bool(torch.isfinite(terms.total)) else "gradient"
            raise Diverged(
                f"step {self.step + 1}: the {what} has not been finite for {MOST_SKIPPED} steps, at a learning rate of "
                f"{self.rate():.2g}; use a lower --lr than {self.settings.lr:g}"
            )
        theirs = dict(self.average.named_buffers())
        for name, buffer in self.network.named_buffers():
            if not bool(torch.isfinite(buffer).all()):
                buffer.copy_(theirs[name])

    def is_finite(self) -> bool:
        """Whether the network and its average are numbers throughout."""
        tensors = (*self.network.state_dict().values(), *self.average.state_dict().values())
        return all(bool(torch.isfinite(value).all()) for value in tensors if value.is_floating_point())

    def rate(self) -> float:
        """The learning rate of the next step: a linear warm-up, then half a cosine down to a hundredth."""
        warmup = max(1, min(self.settings.warmup, self.steps // 3))  # a short run is not all warm-up
        rise = min(1.0, (self.step + 1) / warmup)
        fall = (1 + math.cos(math.pi * min(1.0, self.step / max(1, self.steps)))) / 2
        return self.settings.lr * rise * (0.01 + 0.99 * fall)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the network; quick at first, so that it is of use early."""
        share = 1 - self.settings.average * (1 - math.exp(-(self.step + 1) / 200))
        mine, theirs = self.average.state_dict(), self.network.state_dict()
        moving = [key for key, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[k] for k in moving], [theirs[k] for k in moving], share)

    def state(self) -> Dict[str, Any]:
        """All that a run needs to go on; tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "frozen": sorted(self.frozen),
            "freezes_statistics": self.freezes_statistics,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.frozen = int(state["step"]), frozenset(state["frozen"])
        self.freezes_statistics = bool(state.get("freezes_statistics", False))


def _groups(network: Network, decay: float) -> List[Dict[str, Any]]:
    """Kernels decay; biases and batch-norm do not."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
