"""Conversion of checkpoints of the reference implementation: parameters are renamed, dead branches dropped."""

from models.convert.names import convert as convert
from models.convert.names import load_reference as load_reference
from models.convert.names import our_name as our_name
