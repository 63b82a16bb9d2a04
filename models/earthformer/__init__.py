"""Earthformer: a transformer over space and time whose attention stays inside cuboids."""

from models.earthformer.model import Earthformer as Earthformer
