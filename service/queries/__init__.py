"""Forecasts at places, in boxes and polygons, and on maps."""
