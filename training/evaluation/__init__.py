"""Scores of forecasters on data sets and events."""
