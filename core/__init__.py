"""The few things that every room means alike: settings, errors, registry, units, grid and frame."""
