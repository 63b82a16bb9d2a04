"""Recurrent cells, the multi-scale stack of them, and forecasters whose input and output are rain rates in mm/h."""

from models.build import build_model as build_model
from models.build import list_models as list_models
from models.build import recurrent_models as recurrent_models
from models.fields import ForecastFields as ForecastFields
from models.forecaster import Forecaster as Forecaster
from models.load import list_forecasters as list_forecasters
from models.load import load_forecaster as load_forecaster
from models.pretrained import from_pretrained as from_pretrained
