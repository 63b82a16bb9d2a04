"""Scores of forecasts: counts that add up, the ratio last."""
