"""Definitions shared by all packages: settings, errors, registry, units, grid, frame, records."""
