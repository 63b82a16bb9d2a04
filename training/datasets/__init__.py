"""The data sets: one file each, and one line here."""

from training.datasets import events as events
from training.datasets import germany as germany
from training.datasets import hko7 as hko7
from training.datasets import kth as kth
from training.datasets import meteonet as meteonet
from training.datasets import moving_mnist as moving_mnist
from training.datasets import sevir as sevir
from training.datasets import spells as spells
from training.datasets import taxibj as taxibj
from training.datasets.base import DATASETS as DATASETS
from training.datasets.base import NowcastDataset as NowcastDataset
from training.datasets.base import Sample as Sample
from training.datasets.base import build_dataset as build_dataset
