"""Interfaces that weather apps speak already, on our forecasts: one file each."""
