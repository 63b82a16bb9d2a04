"""One file per recurrent cell; a new cell adds one import line here."""

from models.cells import cms_lstm as cms_lstm
from models.cells import convgru as convgru
from models.cells import convlstm as convlstm
from models.cells import e3d_lstm as e3d_lstm
from models.cells import mau as mau
from models.cells import mim as mim
from models.cells import modernn as modernn
from models.cells import motionrnn as motionrnn
from models.cells import preciplstm as preciplstm
from models.cells import predrnn as predrnn
from models.cells import predrnn_plus2 as predrnn_plus2
from models.cells import predrnn_v2 as predrnn_v2
from models.cells import swinlstm as swinlstm
from models.cells import trajgru as trajgru
from models.cells.base import CELLS as CELLS
from models.cells.base import LayerPosition as LayerPosition
from models.cells.base import RecurrentCell as RecurrentCell
from models.cells.base import Step as Step
