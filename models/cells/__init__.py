"""One file per recurrent cell; a new cell adds its line here."""

from models.cells import convlstm as convlstm
from models.cells import predrnn as predrnn
from models.cells.base import CELLS as CELLS
from models.cells.base import Place as Place
from models.cells.base import RecurrentCell as RecurrentCell
from models.cells.base import Step as Step
