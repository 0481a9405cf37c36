"""Settings of a training run, declared in `options.training`."""

from ..options.training import TrainSettings as TrainSettings
