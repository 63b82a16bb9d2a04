"""Scores of forecasts: sums that add up, the ratio last."""
