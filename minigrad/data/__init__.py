"""Data sets, transforms, and the loader that makes batches of them.

Everything works on NumPy arrays; only `DataLoader` hands out tensors.
"""

from minigrad.data import transforms
from minigrad.data.brain import BrainTissue
from minigrad.data.catalog import ImageSpec, Split, list_datasets, load_split
from minigrad.data.collate import default_collate
from minigrad.data.dataset import (
    ArrayDataset,
    Dataset,
    Subset,
    TensorDataset,
    random_split,
    stratified_subset,
)
from minigrad.data.fashion import fashion_mnist
from minigrad.data.folder import ImageFolder
from minigrad.data.idx import read_idx
from minigrad.data.loader import DataLoader
from minigrad.data.mixing import Mix, cutmix, mixup, one_hot
from minigrad.data.nifti import Volume, read_nifti, read_volume
from minigrad.data.picture import read_image
from minigrad.data.scenes import FashionScenes
from minigrad.data.signals import mnist1d, read_signal
from minigrad.data.uci_digits import digits

__all__ = [
    "ArrayDataset",
    "BrainTissue",
    "DataLoader",
    "Dataset",
    "FashionScenes",
    "ImageFolder",
    "ImageSpec",
    "Mix",
    "Split",
    "Subset",
    "TensorDataset",
    "Volume",
    "cutmix",
    "default_collate",
    "digits",
    "fashion_mnist",
    "list_datasets",
    "load_split",
    "mixup",
    "mnist1d",
    "one_hot",
    "random_split",
    "read_idx",
    "read_image",
    "read_nifti",
    "read_signal",
    "read_volume",
    "stratified_subset",
    "transforms",
]
