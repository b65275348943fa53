"""Data sets, transforms, and the loader that makes batches of them.

Everything works on NumPy arrays; only `DataLoader` hands out tensors.
"""

from minigrad.data import transforms
from minigrad.data.affine import RandomAffine
from minigrad.data.augment import RandAugment
from minigrad.data.brain import BrainTissue
from minigrad.data.catalog import ImageSpec, Split, list_datasets, load_split
from minigrad.data.check import FolderCheck, check_folder
from minigrad.data.collate import default_collate
from minigrad.data.dataset import (
    ArrayDataset,
    ConcatDataset,
    Dataset,
    Subset,
    TensorDataset,
    random_split,
    stratified_folds,
    stratified_split,
    stratified_subset,
)
from minigrad.data.dicom import read_dicom
from minigrad.data.fashion import fashion_mnist
from minigrad.data.folder import ImageFolder
from minigrad.data.idx import read_idx
from minigrad.data.kept import Kept
from minigrad.data.loader import DataLoader
from minigrad.data.mixing import Mix, cutmix, mixup, one_hot
from minigrad.data.mono import mono
from minigrad.data.nifti import read_nifti, read_volume
from minigrad.data.picture import read_image
from minigrad.data.repeated import Repeated
from minigrad.data.sampling import (
    RepeatedSampler,
    Sampler,
    WeightedRandomSampler,
    class_weights,
)
from minigrad.data.scenes import FashionScenes
from minigrad.data.shards import ShuffledShards, TarShards
from minigrad.data.signals import mnist1d, read_signal
from minigrad.data.survey import Survey, duplicates, survey
from minigrad.data.symmetry import symmetries
from minigrad.data.table import PictureTable
from minigrad.data.table_check import check_table
from minigrad.data.tint import RandomTint
from minigrad.data.uci_digits import digits
from minigrad.data.volume import Volume

__all__ = [
    "ArrayDataset",
    "BrainTissue",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "FashionScenes",
    "FolderCheck",
    "ImageFolder",
    "ImageSpec",
    "Kept",
    "Mix",
    "PictureTable",
    "RandAugment",
    "RandomAffine",
    "RandomTint",
    "Repeated",
    "RepeatedSampler",
    "Sampler",
    "ShuffledShards",
    "Split",
    "Subset",
    "Survey",
    "TarShards",
    "TensorDataset",
    "Volume",
    "WeightedRandomSampler",
    "check_folder",
    "check_table",
    "class_weights",
    "cutmix",
    "default_collate",
    "digits",
    "duplicates",
    "fashion_mnist",
    "list_datasets",
    "load_split",
    "mixup",
    "mnist1d",
    "mono",
    "one_hot",
    "random_split",
    "read_dicom",
    "read_idx",
    "read_image",
    "read_nifti",
    "read_signal",
    "read_volume",
    "stratified_folds",
    "stratified_split",
    "stratified_subset",
    "survey",
    "symmetries",
    "transforms",
]
