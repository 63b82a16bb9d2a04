"""The ten cells the plain way, as published code computes them: the baseline that every speed figure is a ratio to."""

from tests.reference.build import build_textbook as build_textbook
from tests.reference.build import copy_weights as copy_weights
