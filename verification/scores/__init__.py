"""Scores of forecasts against observations, one file each; a new one adds its line here."""

from verification.scores import bias as bias
from verification.scores import csi as csi
from verification.scores import far as far
from verification.scores import hss as hss
from verification.scores import pod as pod
from verification.scores.base import SCORES as SCORES
from verification.scores.base import Score as Score
