"""Measurements of this package side by side with what a user would install instead."""
