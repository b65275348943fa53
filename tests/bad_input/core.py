"""Wrong calls of tensors, operations, layers, optimizers, models and files, and wrong commands."""

from __future__ import annotations

import contextlib
import copy
import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import minigrad as mg
from minigrad import data, io, models, nn, optim, runs, train, viz
from minigrad.nn import functional as F

SHAPES = [
    ("mg.ones(2) + mg.ones(3)", "ShapeError",
     r"add: shapes \(2,\) and \(3,\) do not broadcast.*equal or one of them 1"),
    ("mg.ones(2, 3) @ mg.ones(2, 3)", "ShapeError",
     r"matmul: shapes \(2, 3\) and \(2, 3\) do not multiply; the last length of the first, 3"),
    ("mg.ones(3, 4).reshape(5, 2)", "ShapeError",
     r"reshape: shape \(3, 4\) has 12 elements, which do not fill shape \(5, 2\)"),
    ("mg.ones(3, 4).reshape(-1, -1)", "ShapeError", r"reshape: \(-1, -1\) .*one of them may be -1"),
    ("mg.ones(3, 4).T.view(12)", "ShapeError", r"view: .*needs a copy.*use reshape"),
    ("mg.cat([mg.ones(2, 3), mg.ones(2, 4)])", "ShapeError",
     r"cat: apart from axis 0 the shapes must agree, got \[\(2, 3\), \(2, 4\)\]"),
    ("mg.stack([mg.ones(2), mg.ones(3)])", "ShapeError", r"stack: the shapes must be equal, got"),
    ("mg.ones(2, 3).sum(dim=2)", "RangeError",
     r"sum: dim 2 is out of range for a tensor with 2 dimensions; use -2 to 1"),
    ("mg.ones(2, 3).permute(0, 0)", "ShapeError", r"permute: dim \(0, 0\) names an axis twice"),
    ("mg.ones(2, 3)[5]", "RangeError",
     r"getitem: index 5 is out of range for axis 0 of length 2.*use -2 to 1"),
    ("mg.ones(2, 3)[0, 0, 0]", "ShapeError",
     r"getitem: 3 indices for a tensor of shape \(2, 3\); use at most 2"),
    ("mg.ones(3)[mg.tensor([True, False])]", "ShapeError",
     r"getitem: a mask of shape \(2,\) .*\(3,\).*must be equal"),
    ("plain[0] = mg.ones(4)", "ShapeError",
     r"setitem: a value of shape \(4,\) does not fit into x\[index\] of shape \(3,\)"),
    ("mg.ones(2, 3).expand(4, 3)", "ShapeError",
     r"expand: shape \(2, 3\) does not expand to \(4, 3\)"),
    ("mg.zeros(2, -3)", "ShapeError", r"zeros: a size has no negative length, got \(2, -3\)"),
    ("mg.arange(0, 5, -1)", "OptionError", r"arange: a step of -1 never leads from 0 to 5"),
    ("mg.tensor([[1, 2], [3]])", "ShapeError", r"tensor\(\): .*ragged; every row needs one length"),
    ("mg.tensor([1.0, 2.0]).item()", "ShapeError", r"item\(\): one element is needed.*\(2,\)"),
    ("if mg.ones(2) > 0: pass", "ShapeError", r"bool\(\): .*reduce it first, e\.g\. x\.any\(\)"),
    ("mg.zeros(0).max()", "ShapeError", r"max: no value to choose from, the shape is \(0,\)"),
    ("mg.einsum('ij,jk->ik', mg.ones(2, 3), mg.ones(4, 5))", "ShapeError",
     r"einsum: 'ij,jk->ik' gives 'j' the lengths 3 and 4"),
    ("F.conv2d(mg.ones(1, 4, 8, 8), mg.ones(96, 3, 4, 4))", "ShapeError",
     r"conv2d: input has 4 channels but weight \(96, 3, 4, 4\) expects 3.*image to RGB"),
    ("F.conv2d(mg.ones(1, 3, 4, 4), mg.ones(8, 3, 7, 7))", "ShapeError",
     r"conv2d: the window \(kernel \(7, 7\).*larger than the padded image.*enlarge the image"),
    ("F.conv2d(mg.ones(8, 8), mg.ones(8, 3, 7, 7))", "ShapeError",
     r"conv2d: input must be \(N, C, H, W\).*got shape \(8, 8\)"),
    ("linear(mg.ones(2, 4))", "ShapeError",
     r"Linear\(.*\): linear: input has 4 features.*expects 3.*in_features=4"),
    ("F.layer_norm(mg.ones(2, 3), 4)", "ShapeError",
     r"layer_norm: input of shape \(2, 3\) must end in normalized_shape \(4,\)"),
    ("F.group_norm(mg.ones(2, 4, 3), 3)", "OptionError",
     r"group_norm: 4 channels do not split into num_groups=3"),
    ("F.batch_norm(mg.ones(1, 3), None, None, training=True)", "ShapeError",
     r"batch_norm: training needs more than one value per channel.*larger batch or model\.eval"),
    ("F.max_pool2d(mg.ones(1, 1, 2, 2), 3)", "ShapeError",
     r"max_pool2d: the window \(3, 3\) is larger than the padded image"),
    ("F.mse_loss(mg.ones(4, 1), mg.ones(4))", "ShapeError",
     r"mse_loss: input \(4, 1\) and target \(4,\) must have one shape; use target\.reshape"),
    ("F.interpolate(mg.ones(1, 3, 4, 4))", "OptionError",
     r"interpolate: give either size or scale_factor"),
    ("model(mg.ones(1, 4, 32, 32))", "ShapeError",
     r"ConvNeXt.*: the input must be \(batch, 3 channels.*got \(1, 4, 32, 32\).*in_channels"),
    ("model(mg.ones(1, 3, 4, 4))", "ShapeError", r"ConvNeXt.*4×4 vanishes.*reduces each side 8"),
    ("model.stages[0][0](mg.ones(1, 5, 8, 8))", "ShapeError",
     r"dwconv \(Conv2d.*\): conv2d: input has 5 channels but weight \(8, 1, 7, 7\) expects 8"),
]  # fmt: skip  # fmt: skip

TYPES = [
    ("mg.tensor([1, 2], requires_grad=True)", "DTypeError",
     r"only floating tensors can require a gradient, this one is int64.*x\.float\(\)"),
    ("mg.tensor('text')", "DTypeError", r"tensor\(\): str data .*no number type; give numbers"),
    ("mg.zeros(2, dtype='complex64')", "DTypeError",
     r"no tensor can have dtype 'complex64'; use one of float16"),
    ("mg.tensor(300, dtype=mg.uint8)", "DTypeError",
     r"tensor\(\): 300 does not fit into uint8, which holds 0 to 255; use another dtype"),
    ("mg.ones(2, dtype=mg.uint8) * -1", "DTypeError", r"-1 does not fit into uint8.*x\.long\(\)"),
    ("mg.ones(2) + 'one'", "DTypeError", r"operand must be a Tensor, an array or a number, not s"),
    ("mg.ones(2, 2) @ mg.ones(2, 2, dtype=mg.float64)", "DTypeError",
     r"matmul: the operands are float32 and float64; convert one of them: x\.to\(y\.dtype\)"),
    ("mg.arange(3).mean()", "DTypeError", r"mean: needs a floating tensor.*int64.*x\.float\(\)"),
    ("mg.arange(3) ** -1", "DTypeError", r"pow: an integer tensor has no negative power.*x\.float"),
    ("mg.arange(3) // 0", "OptionError", r"div: integer division by zero.*x\.float\(\)"),
    ("whole.add_(0.5)", "DTypeError",
     r"add_: a float32 result cannot be stored in a tensor of int64; convert the tensor first"),
    ("whole[0] = math.nan", "DTypeError", r"setitem: nan does not fit into int64"),
    ("mg.ones(2) & 1", "DTypeError", r"bitwise_and: x & y takes booleans or integers, not float32"),
    ("mg.where(mg.ones(2), 1.0, 0.0)", "DTypeError",
     r"where: the condition must be boolean, not float32; compare first"),
    ("mg.ones(3).gather(0, mg.tensor([0.0]))", "DTypeError",
     r"gather: the index must be an integer tensor, not float32; use x\.long\(\)"),
    ("F.cross_entropy(mg.ones(2, 3), mg.tensor([1.0, 2.0]))", "DTypeError",
     r"cross_entropy: class indices must be integers, got float32; convert: target\.long\(\)"),
    ("F.conv2d(mg.arange(48).reshape(1, 3, 4, 4), mg.ones(2, 3, 1, 1))", "DTypeError",
     r"conv2d: needs a floating tensor, this one is int64; convert it: x\.float\(\)"),
    ("mg.from_numpy(np.zeros(2, '>f4'))", "DTypeError", r"foreign byte order.*mg\.tensor\(array\)"),
    ("param.data = [1.0, 2.0]", "DTypeError", r"x\.data takes a Tensor, not list; .*mg\.tensor"),
    ("linear.weight = np.ones((2, 3))", "DTypeError",
     r"Linear\.weight is a Parameter and cannot become a ndarray; wrap the value in nn\.Parameter"),
]  # fmt: skip  # fmt: skip

DEVICES = [
    ("mg.ones(2, device='cuda')", "MissingExtra",
     r"device 'cuda' needs CuPy.*pip install 'minigrad\[cuda12\]'.*use device='cpu'"),
    ("model.to('cuda:1')", "MissingExtra", r"needs CuPy.*pip install 'minigrad\[cuda12\]'"),
    ("mg.ones(2).cuda()", "MissingExtra", r"needs CuPy.*pip install 'minigrad\[cuda12\]'"),
    ("mg.zeros(2, device='tpu')", "OptionError",
     r"unknown device 'tpu'; use 'cpu', 'cuda' or 'cuda:<number>'"),
    ("mg.ones(2).to('cdua')", "OptionError", r"to: 'cdua' is neither a device, a dtype nor a tens"),
]  # fmt: skip  # fmt: skip

GRAPH = [
    ("(param * 2).backward()", "GraphError",
     r"backward: the tensor has shape \(2,\).*loss\.sum\(\) or loss\.mean\(\)"),
    ("mg.ones(2).sum().backward()", "GraphError",
     r"backward: .*does not require grad and has no graph; was it computed under no_grad"),
    ("loss.backward()", "GraphError",
     r"a second backward through this operation.*pass retain_graph=True to the first"),
    ("stale.backward()", "GraphError",
     r"mul: a tensor of shape \(2,\).*changed in place \(version 1, expected 0\).*clone\(\)"),
    ("param.add_(1)", "GraphError",
     r"add_: a leaf that requires grad cannot be changed in place.*mg\.no_grad\(\)"),
    ("param[0] = 3.0", "GraphError", r"setitem: a leaf that requires grad .*mg\.no_grad\(\)"),
    ("plain[:1].expand(4, 3).add_(1)", "GraphError", r"add_: .*read-only.*x\.clone\(\)"),
    ("(param * 2).backward(mg.ones(3))", "ShapeError",
     r"backward: the gradient has shape \(3,\), its tensor \(2,\)"),
    ("mg.autograd.grad(param.sum(), mg.ones(2))", "GraphError",
     r"grad: an input does not require grad; call x\.requires_grad_\(\)"),
    ("mg.autograd.grad(param.sum(), other)", "GraphError",
     r"grad: the outputs do not depend on input 0.*allow_unused=True"),
    ("(param * 2).requires_grad_(False)", "GraphError", r"made by mul; use x\.detach\(\)"),
    ("param.numpy()", "GraphError", r"numpy\(\): the tensor requires grad; write x\.detach\(\)"),
    ("copy.deepcopy(param * 2)", "GraphError", r"deepcopy works on leaves only.*x\.detach\(\)"),
    ("plain.register_hook(print)", "GraphError", r"register_hook: .*call x\.requires_grad_\(\)"),
    ("inference * param", "GraphError", r"inference_mode cannot be saved for backward.*x\.clone"),
    ("mg.autograd.gradcheck(lambda x: x * x, [mg.ones(2, requires_grad=True)])", "DTypeError",
     r"gradcheck: input 0 is float32; differences need float64: x\.double\(\)"),
    ("mg.autograd.functional.hessian(lambda x: x * x, mg.ones(2))", "GraphError",
     r"hessian: the function must return a scalar, not shape \(2,\).*\.sum\(\) or \.mean\(\)"),
]  # fmt: skip  # fmt: skip

OPTIONS = [
    ("models.create_model('convnext_tinny')", "OptionError",
     r"unknown model 'convnext_tinny'; did you mean 'convnext_tiny'\?"),
    ("models.create_model('convnext_tiny', num_clases=10)", "OptionError",
     r"unknown ConvNeXt option 'num_clases'; did you mean 'num_classes'\?"),
    ("models.ConvNeXt(drop_pth=0.1)", "OptionError",
     r"unknown ConvNeXt option 'drop_pth'; did you mean 'drop_path"),
    ("models.ConvNeXt(depths=(1, 1), dims=(8,))", "OptionError",
     r"ConvNeXt: depths and dims have one entry per stage, got 2 depths \(1, 1\) and 1 dims"),
    ("models.ConvNeXt(num_classes=-1)", "OptionError", r"num_classes must be ≥ 0 or None, got -1"),
    ("models.list_models(family='convnet')", "OptionError", r"unknown model family.*'convnext'\?"),
    ("optim.create('adamv', model.parameters())", "OptionError",
     r"unknown optimizer 'adamv'; did you mean 'adam'\?"),
    ("optim.create('sgd', model.parameters(), lr=0.1, momentun=0.9)", "OptionError",
     r"unknown SGD option 'momentun'; did you mean 'momentum'\?"),
    ("optim.SGD(model.parameters(), lr=-0.1)", "OptionError", r"SGD: lr must be ≥ 0, got -0\.1"),
    ("optim.AdamW([], lr=0.1)", "OptionError", r"AdamW: there is nothing to train.*empty"),
    ("optim.AdamW(model.parameters(), betas=(0.9, 1.0))", "OptionError",
     r"AdamW: betas\[1\] must lie in \[0, 1\), got 1\.0"),
    ("optim.SGD([param * 2], lr=0.1)", "GraphError",
     r"SGD: parameter 0 was computed by .*only leaves can be trained"),
    ("nn.Conv2d(3, 8, 0)", "OptionError", r"Conv2d: kernel_size must be .*1.*got 0"),
    ("nn.Conv2d(3, 8, 3, groups=2)", "OptionError", r"Conv2d: groups=2 must divide in_channels=3"),
    ("nn.Linear(-1, 3)", "OptionError", r"Linear: in_features must be an integer ≥ 0, got -1"),
    ("nn.LayerNorm(-8)", "OptionError", r"LayerNorm: normalized_shape must be .*≥ 0, got -8"),
    ("nn.Conv2d(-1, 3, 1)", "OptionError", r"Conv2d: in_channels must be an integer ≥ 0, got -1"),
    ("nn.Dropout(1.5)", "OptionError",
     r"Dropout: the probability to drop must lie in \[0, 1\], got 1\.5"),
    ("nn.Conv2d(3, 8, 3, padding='full')", "OptionError",
     r"unknown Conv2d padding 'full' \(choose from same, valid\)"),
    ("F.pad(mg.ones(2, 3), (1, 1), mode='reflekt')", "OptionError",
     r"unknown pad mode 'reflekt'; did you mean 'reflect'\?"),
    ("F.gelu(mg.ones(2), approximate='tan')", "OptionError",
     r"unknown gelu approximation 'tan'; did you mean 'tanh'\?"),
    ("F.interpolate(mg.ones(1, 3, 4, 4), size=8, mode='bilinaer')", "OptionError",
     r"unknown interpolation mode 'bilinaer'; did you mean 'bilinear'\?"),
    ("F.mse_loss(mg.ones(2), mg.ones(2), reduction='average')", "OptionError",
     r"unknown mse_loss reduction 'average' \(choose from mean, none, sum\)"),
    ("F.cross_entropy(mg.ones(2, 3), mg.tensor([0, 3]))", "OptionError|RangeError",
     r"cross_entropy: label 3 is out of range for 3 classes \(0 to 2\); check num_classes"),
    ("F.one_hot(mg.tensor([0, 5]), 3)", "ShapeError|RangeError",
     r"one_hot: class 5 is out of range for 3 classes; use 0 to 2"),
    ("F.binary_cross_entropy(mg.tensor([2.0]), mg.tensor([1.0]))", "OptionError",
     r"binary_cross_entropy: input must be probabilities.*apply sigmoid first"),
    ("mg.relu(mg.ones(2), in_place=True)", "TypeError", r"relu\(\).*keyword argument 'in_place'"),
    ("nn.Linear(3, 2, bia=False)", "TypeError", r"keyword argument 'bia'"),
    ("runs.TrainConfig.from_values({'epoch': 3})", "OptionError",
     r"unknown training option 'epoch'; did you mean 'epochs'\?"),
    ("runs.TrainConfig.from_values({'lr': 'fast'})", "OptionError",
     r"lr must be a number, got 'fast'"),
    ("data.DataLoader(digits, sampler=data.RepeatedSampler(9))", "OptionError",
     r"the sampler is one for 9 samples, but the data set has"),
    ("data.WeightedRandomSampler([1.0, -1.0])", "OptionError",
     r"weights are one number per sample, 0 or more"),
    ("optim.param_groups(model, grouping='blocks')", "OptionError",
     r"unknown grouping 'blocks' \(choose from group, single\)"),
    ("data.class_weights([0.5], 2)", "DTypeError",
     r"class_weights: labels are the whole number of a class for each sample, got float64"),
    ("models.Tiled(3, 16)", "OptionError", r"Tiled: model must be of type Module, got 3"),
    ("models.Ensemble([3])", "OptionError",
     r"Ensemble: models must be a sequence of Module, got \[3\]"),
    ("runs.evaluate('runs/a')", "OptionError",
     r"evaluate: trained must be of type Trained, got 'runs/a'; load_trained\(path, 'cpu'\) loads"),
    ("runs.report(3)", "OptionError", r"a path is a string or a pathlib\.Path, not int"),
    ("train.find_batch_size(3, 4)", "OptionError", r"trainer must be of type Trainer, got 3"),
    ("mg.distributed.launch(2, [])", "OptionError", r"launch: say what python is to run, such as"),
    ("next(data.DataLoader(digits).batches(0, part=3))", "OptionError",
     r"DataLoader\.batches: part 3 must be \(rank, ranks\), rank < ranks"),
    ("train.Trainer(linear).train_on_batch([1.0], [2.0])", "DataError",
     r"a Trainer's batches are two Tensors, inputs and targets, got \(list, list\)"),
    ("io.write_volume('a.nii', data.Volume([1.0], np.eye(4), (1.0,)))", "OptionError",
     r"write_volume: array must be of type ndarray, got \[1\.0\]; np\.array makes one"),
    ("models.sliding_window_inference(np.ones((1, 1, 4, 4)), 4, linear, pad_mode='zeros')",
     "OptionError", r"pad_mode is 'constant' or another of numpy\.pad, got 'zeros'"),
    ("runs.TrainConfig.from_values(3)", "OptionError",
     r"TrainConfig: values must be of type Mapping, got 3; options by name"),
    ("train.best_epoch([{'loss': 1.0}], 'loss', -1)", "OptionError",
     r"best_epoch: min_delta must be 0 or more, got -1"),
    ("train.Freeze(model, 3)", "OptionError", r"Freeze: parts must be a sequence of str, got 3"),
    ("train.EarlyStopping(min_delta=math.nan)", "OptionError", r"min_delta must be 0 or more, got"),
    ("train.ClassReport(['cat'], np.array([3]), np.array([2]), np.array([4]))", "OptionError",
     r"ClassReport: .*; of cat 3 are hit, 2 true and 4 predicted"),
    ("train.Trainer(linear, callbacks=['bell'])", "OptionError",
     r"Trainer: callbacks must be a sequence of Callback, got \['bell'\]"),
    ("viz.calibration_svg(3)", "OptionError",
     r"calibration_svg: calibration must be of type Calibration, got 3"),
    ("viz.grad_cam(model, mg.ones(1, 3, 32, 32), 'a')", "DTypeError",
     r"grad_cam: target must be numbers.*got 'a'"),
    ("viz.layer_cam(model, mg.ones(1, 3, 32, 32), 0.5)", "OptionError",
     r"layer_cam: a class is a whole number, got 0\.5"),
    ("viz.comparison_svg({'a': [{'val_loss': 'low'}]})", "OptionError",
     r"comparison_svg: each row of a history is a mapping of names to numbers, got"),
    ("viz.timeline_svg([('rank 0', 'backward', 1.0)])", "OptionError",
     r"timeline_svg: a span is \(lane, name, start, end\), got"),
    ("data.stratified_folds(digits, 1)", "OptionError", r"folds must be 2 or more, got 1"),
    ("data.transforms.RandomErasing(mode='pixels')", "OptionError",
     r"unknown RandomErasing mode 'pixels'; did you mean 'pixel'"),
    ("data.DataLoader(digits, batch_size=0)", "OptionError",
     r"DataLoader: batch_size must be 1 or more, got 0"),
    ("model.load_state_dict({'head.weigth': mg.ones(4, 16)})", "StateError",
     r"load_state_dict: .*nothing changed.*head\.weigth \(did you mean head\.weight\?\)"),
    ("model.load_state_dict({**state, 'head.bias': mg.ones(5)})", "StateError",
     r"load_state_dict: .*nothing changed.*head\.bias has \(5,\), expected \(4,\)"),
    ("sgd.load_state_dict(other_sgd.state_dict())", "StateError",
     r"SGD\.load_state_dict: the saved groups hold \[1\] parameters, this optimizer's"),
    ("data.load_split('digit')", "OptionError",
     r"unknown data set 'digit'; did you mean 'digits'\?"),
    ("model.get_submodule('stages.9')", "OptionError", r"unknown module of ConvNeXt 'stages\.9'"),
]  # fmt: skip  # fmt: skip

FILES = [
    ("io.load(3)", "OptionError", r"a path is a string or a pathlib\.Path, not int"),
    ("io.save(state, None)", "OptionError", r"a path is a string or a pathlib\.Path, not NoneType"),
    ("io.read_checkpoint(None)", "OptionError", r"a path is a string or a pathlib\.Path, not None"),
    ("io.load('missing.safetensors')", "DataError",
     r"missing\.safetensors: cannot be read \(No such file or directory\); check the path"),
    ("io.load('truncated.safetensors')", "DataError",
     r"truncated\.safetensors: not a whole safetensors file: expected \d+ bytes of data, found "
     r"\d+; fetch the file again"),
    ("io.load('header.safetensors')", "DataError", r"header\.safetensors: .*expected a header of"),
    ("io.load('text.safetensors')", "DataError", r"text\.safetensors: not a whole safetensors"),
    ("io.load('empty.safetensors')", "DataError", r"found 0 bytes; fetch the file again"),
    ("train.load_checkpoint('weights.safetensors')", "DataError",
     r"weights\.safetensors: a safetensors file, but no checkpoint of a Trainer; for bare weights"),
    ("io.save(state, 'no/such/folder/weights.safetensors')", "DataError",
     r"weights\.safetensors: cannot be saved \(No such file or directory\); nothing was written; "
     r"make the folder no/such/folder first"),
    ("with full_disk(): io.save(state, 'weights.safetensors')", "DataError",
     r"weights\.safetensors: cannot be saved \(No space left on device\); the old file is "
     "unchanged"),
    ("with full_disk(): io.save(state, 'new.safetensors')", "DataError",
     r"new\.safetensors: cannot be saved \(No space left on device\); nothing was written"),
    ("io.save({'model': model}, 'weights.safetensors')", "DataError",
     r"save: model is of type ConvNeXt; only tensors, arrays.*; save its state_dict\(\)"),
    ("data.ImageFolder('nowhere')", "DataError", r"nowhere: no such folder"),
    ("data.ImageFolder('empty')", "DataError",
     r"empty: expected one sub-folder of pictures per class, found no sub-folder"),
    ("data.folder.read_image('broken.png')", "DataError",
     r"broken\.png: Pillow cannot read this picture"),
    ("data.idx.read_idx('labels.idx')", "DataError",
     r"labels\.idx: expected 10 bytes of data for shape \(10,\) after byte 8; found 3; .*again"),
    ("data.load_split('labels.idx')", "DataError", r"labels\.idx: a data set on disk is a folder"),
    ("runs.read_toml('broken.toml')", "DataError", r"broken\.toml: not a TOML file"),
]  # fmt: skip  # fmt: skip

COMMANDS = [
    ("minigrad train --layer-grouping blocks", "exit 2",
     r"unknown layer_grouping 'blocks'.*choose from group, single"),
    ("minigrad train --layer-decay 0.8 --layer-grouping group", "exit 2",
     r"grouping='group' is defined for four stages, the model has 2; use 'single'"),
    ("minigrad train --epoch 3", "exit 2",
     r"unknown option of minigrad train '--epoch'; .*'--epochs'\?"),
    ("minigrad train --epochs three", "exit 2",
     r"argument --epochs: .*'three'.*minigrad train --help"),
    ("minigrad train --epochs 0", "exit 2", r"epochs must be 1 or more, got 0"),
    ("minigrad train --data digit", "exit 2", r"unknown data set 'digit'; did you mean 'digits'\?"),
    ("minigrad train --optimizer adamv", "exit 2",
     r"unknown optimizer 'adamv'; did you mean 'adam'\?"),
    ("minigrad train --config broken.toml", "exit 2", r"broken\.toml: not a TOML file"),
    ("minigrad trian", "exit 2", r"unknown command 'trian'; did you mean 'train'\?"),
    ("minigrad summary convnext_tinny", "exit 2",
     r"unknown model 'convnext_tinny'.*'convnext_tiny'\?"),
    ("minigrad predict picture.png", "exit 2", r"no trained model below runs/; .*'minigrad train'"),
    ("minigrad val --checkpoint truncated.safetensors", "exit 2", r"not a whole safetensors file"),
    ("minigrad predict broken.png --checkpoint weights.safetensors", "exit 2",
     r"no checkpoint of a Trainer"),
]  # fmt: skip

TABLE = {
    "shapes": SHAPES, "types": TYPES, "devices": DEVICES, "graph": GRAPH, "options": OPTIONS,
    "files": FILES, "commands": COMMANDS,
}  # fmt: skip


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let the disk refuse the bytes, as it does when it is full: at the latest at fsync."""
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("os.fsync", side_effect=error):
        yield


def world() -> dict[str, Any]:
    """Return the names that the calls use, and write the files they read to the current folder."""
    mg.manual_seed(0)
    model = models.ConvNeXt(depths=(1, 1), dims=(8, 16), num_classes=4)
    param = mg.tensor([1.0, 2.0], requires_grad=True)
    other = mg.tensor([3.0, 4.0], requires_grad=True)
    sgd = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(mg.ones(2, 3, 32, 32)).sum().backward()
    sgd.step()
    loss = (param * param).sum()
    loss.backward()
    factor = mg.ones(2)
    stale = (param * factor).sum()
    factor.add_(1)
    with mg.inference_mode():
        inference = mg.ones(2) * 1.0
    state = model.state_dict()
    io.save(state, "weights.safetensors")
    whole = Path("weights.safetensors").read_bytes()
    Path("truncated.safetensors").write_bytes(whole[:-100])
    Path("header.safetensors").write_bytes((10**9).to_bytes(8, "little") + b"{}")
    Path("text.safetensors").write_text("this is not a tensor file at all")
    Path("empty.safetensors").write_bytes(b"")
    Path("empty").mkdir()
    Path("broken.png").write_bytes(b"\x89PNG and nothing more")
    Path("labels.idx").write_bytes(b"\0\0\x08\x01" + (10).to_bytes(4, "big") + b"abc")
    Path("broken.toml").write_text("epochs = = 3")
    return {
        "mg": mg, "np": np, "nn": nn, "F": F, "models": models, "optim": optim, "io": io,
        "data": data, "train": train, "runs": runs, "viz": viz, "copy": copy, "math": math,
        "full_disk": full_disk, "model": model, "linear": nn.Linear(3, 2), "param": param,
        "other": other, "plain": mg.ones(2, 3), "whole": mg.tensor([1, 2]), "loss": loss,
        "stale": stale, "inference": inference, "sgd": sgd, "state": state,
        "other_sgd": optim.SGD([other], lr=0.1), "digits": data.digits(),
    }  # fmt: skip
