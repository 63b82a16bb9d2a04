"""What a model costs: the paper's equations side by side with measured parameters, work and memory."""

from models.cost.equations import CostModel as CostModel
from models.cost.measure import MemoryUse as MemoryUse
from models.cost.measure import Work as Work
from models.cost.measure import count_parameters as count_parameters
from models.cost.measure import measure_memory as measure_memory
from models.cost.measure import measure_work as measure_work
from models.cost.measure import measuring_on as measuring_on
from models.cost.paper import PAPER_CELLS as PAPER_CELLS
