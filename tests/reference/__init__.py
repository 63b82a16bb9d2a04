"""The ten cells written plainly, as published code computes them: the baseline of every speed figure."""

from tests.reference.build import build_textbook as build_textbook
from tests.reference.build import copy_weights as copy_weights
