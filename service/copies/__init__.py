"""Backups of an installation in one file, and their restoration."""
