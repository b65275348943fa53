"""Neural networks: modules, layers, initial values and the functions behind them."""

from minigrad.nn import functional, init, utils
from minigrad.nn.containers import (
    ModuleDict,
    ModuleList,
    ParameterDict,
    ParameterList,
    Sequential,
)
from minigrad.nn.layers import *  # noqa: F403
from minigrad.nn.layers import __all__ as _layers
from minigrad.nn.module import Module, Parameter
from minigrad.nn.state import LoadReport

__all__ = [
    "LoadReport",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "functional",
    "init",
    "utils",
]
__all__ += _layers
