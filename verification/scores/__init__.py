"""Scores of forecasts against observations, one file each; a new one adds its line here."""

from verification.scores import b_mae as b_mae
from verification.scores import b_mse as b_mse
from verification.scores import bias as bias
from verification.scores import brier as brier
from verification.scores import crps as crps
from verification.scores import csi as csi
from verification.scores import ets as ets
from verification.scores import far as far
from verification.scores import fss as fss
from verification.scores import gdl as gdl
from verification.scores import hss as hss
from verification.scores import mae as mae
from verification.scores import mse as mse
from verification.scores import pod as pod
from verification.scores import psnr as psnr
from verification.scores import rate_mae as rate_mae
from verification.scores import reliability as reliability
from verification.scores import ssim as ssim
from verification.scores.base import SCORES as SCORES
from verification.scores.base import Score as Score
from verification.scores.base import families as families
from verification.scores.base import scores_of as scores_of
from verification.scores.base import value_of as value_of
from verification.scores.base import values_of as values_of
from verification.scores.categorical import CategoricalScore as CategoricalScore
