"""The default model: statistics along the motion, corrected by a network, with calibrated probabilities."""
