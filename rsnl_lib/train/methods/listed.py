"""Every method by name."""

from . import adversarial, supporting
from .base import Method
from .controls import noise_augmented, random_directions, shuffled, target_zero
from .paper import direct, gradient_only, kd, mimic, robust, score_only, standard

METHODS = {
    "teacher": Method(standard),
    "standard": Method(standard),
    "mimic": Method(mimic, scores=True),
    "kd": Method(kd, scores=True),
    "fitnet": Method(kd, scores=True, hint=True),
    "score_only": Method(score_only, scores=True),
    "gradient_only": Method(gradient_only, scores=True, gradients="tempered"),
    "robust": Method(robust, scores=True, gradients="tempered"),
    "target_zero": Method(target_zero, scores=True),
    "shuffled": Method(shuffled, scores=True, gradients="tempered"),
    "matched": Method(robust, scores=True, gradients="tempered", target=random_directions),
    "noise_augmented": Method(noise_augmented, scores=True),
    "direct": Method(direct, scores=True, gradients="logit"),
    "pgd_at": Method(adversarial.pgd_at),
    "trades": Method(adversarial.trades),
    "ard": Method(adversarial.ard, scores=True),
    "fast_ard": Method(adversarial.fast_ard, scores=True),
    "rslad": Method(adversarial.rslad, scores=True),
    "iad": Method(adversarial.iad, scores=True, live=True),
    "adaad": Method(adversarial.adaad, scores=True, live=True),
    "igdm": Method(adversarial.igdm, scores=True, live=True),
    "bss": Method(supporting.bss, scores=True, live=True),
}
