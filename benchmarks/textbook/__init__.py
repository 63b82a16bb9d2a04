"""The ten cells the plain way, as published code computes them: the baseline that every speed figure is a ratio to."""

from benchmarks.textbook.build import build_textbook as build_textbook
from benchmarks.textbook.build import copy_weights as copy_weights
