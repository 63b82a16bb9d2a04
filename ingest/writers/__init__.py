"""Radar frames to files of the formats that others read."""
