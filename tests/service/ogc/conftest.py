"""The fixtures of `tests.service.filled`; a file that needs others has its own of the same names."""

from tests.service.filled import client as client
from tests.service.filled import forecast as forecast
from tests.service.filled import service as service
