"""Modules, layers and their states do what PyTorch's do: programs run with both."""
# ruff: noqa: E501  (programs as users write them)

from __future__ import annotations

import pytest

from tests.programs import check

# name: program; what it leaves in `out`, or that it raises, is compared.
PROGRAMS: dict[str, str] = {
    "children once": """
a = nn.ReLU()
net = nn.Sequential(nn.Linear(2, 2), a, nn.Linear(2, 2), a)
out = [n for n, _ in net.named_children()], len(net), len(list(net.modules())), [n for n, _ in net.named_modules()]
""",
    "apply once among siblings": """
a = nn.ReLU()
net = nn.Sequential(a, nn.Linear(2, 2), a)
seen = []
net.apply(seen.append)
out = [type(m).__name__ for m in seen]
""",
    "apply in nested": """
a = nn.ReLU()
net = nn.Sequential(nn.Sequential(a), nn.Sequential(a))
seen = []
net.apply(seen.append)
out = [type(m).__name__ for m in seen]
""",
    "apply returns self": """
net = nn.Linear(1, 1)
out = net.apply(lambda m: None) is net
""",
    "named_modules with duplicates": """
a = nn.ReLU()
net = nn.Sequential(a, a)
out = [n for n, _ in net.named_modules(remove_duplicate=False)], [n for n, _ in net.named_modules(prefix='p')]
""",
    "repr of duplicates": """
a = nn.ReLU()
net = nn.Sequential(a, a)
out = repr(net)
""",
    "state_dict of shared": """
a = nn.Linear(1, 1)
net = nn.Sequential(a, a)
out = list(net.state_dict()), [n for n, _ in net.named_parameters()], [n for n, _ in net.named_parameters(remove_duplicate=False)]
""",
    "tied weights": """
net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
net[1].weight = net[0].weight
out = list(net.state_dict()), len(list(net.parameters())), net[1].weight is net[0].weight
""",
    "load tied last wins": """
net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
net[1].weight = net[0].weight
net.load_state_dict({'0.weight': torch.ones(1, 1), '1.weight': torch.zeros(1, 1)})
out = net[0].weight.item()
""",
    "modulelist duplicates": """
a = nn.Linear(1, 1)
l = nn.ModuleList([a, a])
out = len(l), [m is a for m in l], len(list(l.children()))
""",
    "moduledict duplicates": """
a = nn.Linear(1, 1)
d = nn.ModuleDict({'x': a, 'y': a})
out = len(d), list(d), list(d.keys()), len(list(d.values())), [k for k, _ in d.items()], 'y' in d
""",
    "moduledict pop clear update": """
d = nn.ModuleDict({'x': nn.ReLU()})
d.update({'y': nn.ReLU()})
d.update([('z', nn.ReLU())])
p = d.pop('x')
out = list(d), type(p).__name__
d.clear()
out += (len(d),)
""",
    "moduledict missing": "nn.ModuleDict({'x': nn.ReLU()})['q']",
    "moduledict no module": "nn.ModuleDict({'x': 3})",
    "moduledict del": """
d = nn.ModuleDict({'x': nn.ReLU(), 'y': nn.ReLU()})
del d['x']
out = list(d)
""",
    "moduledict forward": "nn.ModuleDict({'x': nn.ReLU()})(torch.ones(1))",
    "modulelist forward": 'nn.ModuleList([nn.ReLU()])(torch.ones(1))',
    "modulelist ops": """
l = nn.ModuleList([nn.ReLU(), nn.GELU(), nn.Tanh()])
l.append(nn.Sigmoid())
l.insert(0, nn.Identity())
l.extend([nn.ReLU()])
del l[1]
out = [type(m).__name__ for m in l], type(l[-1]).__name__, [type(m).__name__ for m in l[1:3]], type(l[1:3]).__name__, [type(m).__name__ for m in l + [nn.Tanh()]]
""",
    "modulelist pop": """
l = nn.ModuleList([nn.ReLU(), nn.GELU()])
m = l.pop(0)
out = type(m).__name__, len(l)
""",
    "modulelist iadd": """
l = nn.ModuleList([nn.ReLU()])
l += [nn.GELU()]
out = len(l), type(l).__name__
""",
    "modulelist index error": 'nn.ModuleList([nn.ReLU()])[3]',
    "modulelist set": """
l = nn.ModuleList([nn.ReLU(), nn.ReLU()])
l[0] = nn.GELU()
l[-1] = nn.Tanh()
out = [type(m).__name__ for m in l]
""",
    "modulelist reversed contains": """
a = nn.ReLU()
l = nn.ModuleList([a, nn.GELU()])
out = a in list(l), [type(m).__name__ for m in reversed(list(l))]
""",
    "sequential slices": """
s = nn.Sequential(nn.ReLU(), nn.GELU(), nn.Tanh())
out = [type(m).__name__ for m in s[:2]], list(s[1:].state_dict()), [n for n, _ in s[1:].named_children()]
""",
    "sequential append insert extend": """
s = nn.Sequential(nn.ReLU())
s.append(nn.GELU()).append(nn.Tanh())
s.insert(0, nn.Identity())
s.extend([nn.ReLU()])
out = [type(m).__name__ for m in s]
""",
    "sequential add": """
s = nn.Sequential(nn.ReLU()) + nn.Sequential(nn.GELU())
out = [type(m).__name__ for m in s]
""",
    "sequential del": """
s = nn.Sequential(nn.ReLU(), nn.GELU(), nn.Tanh())
del s[1]
out = [n for n, _ in s.named_children()], [type(m).__name__ for m in s]
""",
    "sequential pop": """
s = nn.Sequential(nn.ReLU(), nn.GELU())
m = s.pop(0)
out = type(m).__name__, [type(m).__name__ for m in s]
""",
    "sequential dict": """
from collections import OrderedDict
s = nn.Sequential(OrderedDict([('a', nn.ReLU()), ('b', nn.GELU())]))
out = [n for n, _ in s.named_children()], type(s.a).__name__, type(s[1]).__name__
""",
    "sequential dotted name": """
from collections import OrderedDict
nn.Sequential(OrderedDict([('a.b', nn.ReLU())]))
""",
    "sequential add_module": """
s = nn.Sequential(nn.ReLU())
s.add_module('tail', nn.GELU())
out = [n for n, _ in s.named_children()], len(s)
""",
    "sequential no module": 'nn.Sequential(nn.ReLU(), 3)',
    "sequential empty": """
x = torch.ones(2)
out = nn.Sequential()(x)
""",
    "parameterlist": """
l = nn.ParameterList([torch.zeros(2), nn.Parameter(torch.ones(3))])
l.append(torch.ones(1))
out = len(l), [n for n, _ in l.named_parameters()], [tuple(p.shape) for p in l], type(l[0]).__name__
""",
    "parameterlist set slice": """
l = nn.ParameterList([nn.Parameter(torch.zeros(i)) for i in range(3)])
l[0] = nn.Parameter(torch.ones(5))
out = [tuple(p.shape) for p in l], [tuple(p.shape) for p in l[1:]], len(list(l.parameters()))
""",
    "parameterdict": """
d = nn.ParameterDict({'a': nn.Parameter(torch.zeros(2))})
d['b'] = nn.Parameter(torch.ones(1))
out = list(d.keys()), [n for n, _ in d.named_parameters()], len(d), 'a' in d
""",
    "parameterdict attr": """
class M(nn.Module):
 def __init__(s):
  super().__init__()
  s.w = nn.ParameterDict({'q': nn.Parameter(torch.ones(2))})
 def forward(s, x): return x * s.w['q']
m = M()
out = list(m.state_dict()), m(torch.ones(2))
""",
    "get_submodule": """
net = nn.Sequential(nn.Sequential(nn.ReLU()))
out = type(net.get_submodule('0.0')).__name__, net.get_submodule('') is net
""",
    "get_submodule wrong": "nn.Sequential(nn.ReLU()).get_submodule('0.q')",
    "get_parameter": """
net = nn.Sequential(nn.Linear(2, 3))
out = net.get_parameter('0.weight') is net[0].weight
""",
    "get_parameter wrong": "nn.Linear(1, 1).get_parameter('q')",
    "get_buffer": "out = nn.Sequential(nn.BatchNorm1d(2)).get_buffer('0.running_mean')",
    "named_children prefix order": """
class M(nn.Module):
 def __init__(s):
  super().__init__()
  s.z = nn.ReLU()
  s.a = nn.GELU()
  s.w = nn.Parameter(torch.ones(1))
m = M()
out = [n for n, _ in m.named_children()], [n for n, _ in m.named_parameters(prefix='q')], [n for n, _ in m.named_parameters(recurse=False)]
""",
    "named_buffers": """
net = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, affine=False))
out = [n for n, _ in net.named_buffers()], len(list(net.buffers()))
""",
    "shared buffer once": """
class M(nn.Module):
 def __init__(s):
  super().__init__()
  t = torch.ones(2)
  s.register_buffer('a', t)
  s.register_buffer('b', t)
m = M()
out = [n for n, _ in m.named_buffers()], list(m.state_dict())
""",
    "parameter order after reassign": """
class M(nn.Module):
 def __init__(s):
  super().__init__()
  s.b = None
  s.a = nn.Parameter(torch.ones(1))
  s.b = nn.Parameter(torch.ones(2))
out = [n for n, _ in M().named_parameters()]
""",
    "parameter order after replace": """
class M(nn.Module):
 def __init__(s):
  super().__init__()
  s.b = nn.Parameter(torch.ones(1))
  s.a = nn.Parameter(torch.ones(1))
  s.b = nn.Parameter(torch.ones(2))
out = [n for n, _ in M().named_parameters()]
""",
    "register None then set": """
class M(nn.Module):
 def __init__(s):
  super().__init__()
  s.register_parameter('b', None)
  s.a = nn.Parameter(torch.ones(1))
  s.b = nn.Parameter(torch.ones(2))
out = [n for n, _ in M().named_parameters()]
""",
    "parameter becomes tensor": """
m = nn.Linear(1, 1)
m.weight = torch.ones(1, 1)
""",
    "parameter becomes None": """
m = nn.Linear(1, 1)
m.bias = None
out = [n for n, _ in m.named_parameters()], list(m.state_dict())
""",
    "None parameter set to tensor": """
m = nn.Linear(1, 1, bias=False)
m.bias = torch.ones(1)
""",
    "None parameter set to Parameter": """
m = nn.Linear(1, 1, bias=False)
m.bias = nn.Parameter(torch.ones(1))
out = [n for n, _ in m.named_parameters()], m.weight.data.zero_() is None, m(torch.ones(1, 1))
""",
    "del parameter": """
m = nn.Linear(1, 1)
del m.bias
out = [n for n, _ in m.named_parameters()], hasattr(m, 'bias')
""",
    "child becomes function": """
m = nn.Sequential(nn.ReLU())
m.a = nn.ReLU()
m.a = lambda x: x
""",
    "child becomes None": """
class M(nn.Module): pass
m = M()
m.a = nn.ReLU()
m.a = None
out = list(m.children()), m.a
""",
    "child replaced": """
class M(nn.Module): pass
m = M()
m.a = nn.ReLU()
m.a = nn.GELU()
out = [type(c).__name__ for c in m.children()]
""",
    "parameter becomes module": """
m = nn.Linear(1, 1)
m.weight = nn.ReLU()
""",
    "buffer becomes parameter": """
m = nn.Module()
m.register_buffer('a', torch.ones(1))
m.a = nn.Parameter(torch.ones(2))
out = [n for n, _ in m.named_parameters()], [n for n, _ in m.named_buffers()], list(m.state_dict())
""",
    "buffer becomes tensor": """
m = nn.Module()
m.register_buffer('a', torch.ones(1))
m.a = torch.zeros(3)
out = [n for n, _ in m.named_buffers()], m.state_dict()['a']
""",
    "buffer becomes number": """
m = nn.Module()
m.register_buffer('a', torch.ones(1))
m.a = 3
""",
    "buffer None": """
m = nn.Module()
m.register_buffer('a', None)
out = list(m.state_dict()), list(m.named_buffers()), m.a
m.a = torch.ones(2)
out += (list(m.state_dict()),)
""",
    "buffer not persistent": """
m = nn.Module()
m.register_buffer('a', torch.ones(1), persistent=False)
out = list(m.state_dict()), [n for n, _ in m.named_buffers()]
""",
    "buffer not persistent load": """
m = nn.Module()
m.register_buffer('a', torch.ones(1), persistent=False)
m.load_state_dict({'a': torch.zeros(1)})
""",
    "buffer twice": """
m = nn.Module()
m.register_buffer('a', torch.ones(1))
m.register_buffer('a', torch.zeros(1))
out = m.a
""",
    "buffer over plain attribute": """
m = nn.Module()
m.a = 3
m.register_buffer('a', torch.zeros(1))
""",
    "parameter over plain attribute": """
m = nn.Module()
m.a = 3
m.register_parameter('a', nn.Parameter(torch.zeros(1)))
""",
    "module over plain attribute": """
m = nn.Module()
m.a = 3
m.add_module('a', nn.ReLU())
""",
    "parameter set over plain attribute": """
m = nn.Module()
m.a = 3
m.a = nn.Parameter(torch.zeros(1))
out = [n for n, _ in m.named_parameters()]
""",
    "register_parameter of tensor": """
m = nn.Module()
m.register_parameter('a', torch.zeros(1))
""",
    "register_parameter of a result": """
m = nn.Module()
w = torch.ones(1, requires_grad=True)
m.register_parameter('a', w * 2)
""",
    "register_buffer of a list": """
m = nn.Module()
m.register_buffer('a', [1, 2])
""",
    "add_module of a number": """
m = nn.Module()
m.add_module('a', 3)
""",
    "register_module": """
m = nn.Module()
m.register_module('a', nn.ReLU())
out = [n for n, _ in m.named_children()]
""",
    "names with dots": """
m = nn.Module()
m.register_parameter('a.b', nn.Parameter(torch.ones(1)))
""",
    "empty name": """
m = nn.Module()
m.add_module('', nn.ReLU())
""",
    "forward as name": """
m = nn.Module()
m.register_buffer('forward', torch.ones(1))
""",
    "plain tensor attribute is nothing": """
m = nn.Module()
m.t = torch.ones(1)
out = list(m.state_dict()), list(m.parameters())
""",
    "parameter in a list is nothing": """
m = nn.Module()
m.l = [nn.Parameter(torch.ones(1))]
out = len(list(m.parameters()))
""",
    "missing attribute": 'nn.Linear(1, 1).nothing',
    "dir": """
d = dir(nn.Linear(1, 1))
out = 'weight' in d, 'bias' in d
""",
    "no forward": """
class M(nn.Module): pass
M()(1)
""",
    "parameter of a parameter": """
p = nn.Parameter(nn.Parameter(torch.ones(2)))
out = type(p).__name__, p.requires_grad, p.is_leaf
""",
    "parameter without grad": """
p = nn.Parameter(torch.ones(2), requires_grad=False)
out = p.requires_grad
m = nn.Module()
m.p = p
out = out, len(list(m.parameters()))
""",
    "parameter of ints": 'nn.Parameter(torch.tensor([1, 2]))',
    "parameter of ints frozen": """
p = nn.Parameter(torch.tensor([1, 2]), requires_grad=False)
out = p.tolist()
""",
    "parameter shares memory": """
t = torch.ones(2)
p = nn.Parameter(t)
t[0] = 5
out = p.tolist()
""",
    "parameter repr": 'out = repr(nn.Parameter(torch.ones(2)))',
    "isinstance Parameter": """
out = isinstance(nn.Linear(1, 1).weight, nn.Parameter), isinstance(nn.Linear(1, 1).weight, torch.Tensor), isinstance(nn.Linear(1, 1).weight * 2, nn.Parameter)
""",
    "forward hook changes output": """
m = nn.ReLU()
h = m.register_forward_hook(lambda mod, a, o: o + 1)
y = m(torch.ones(1))
h.remove()
out = y, m(torch.ones(1))
""",
    "pre hook changes input": """
m = nn.ReLU()
h = m.register_forward_pre_hook(lambda mod, a: (a[0] * 3,))
y = m(torch.ones(1))
h.remove()
h.remove()
out = y, m(torch.ones(1))
""",
    "pre hook single": """
m = nn.ReLU()
m.register_forward_pre_hook(lambda mod, a: a[0] * 3)
out = m(torch.ones(1))
""",
    "hook order": """
m = nn.ReLU()
s = []
m.register_forward_hook(lambda *a: s.append(1))
m.register_forward_hook(lambda *a: s.append(2))
m.register_forward_hook(lambda *a: s.append(0), prepend=True)
m(torch.ones(1))
out = s
""",
    "handle is a context": """
m = nn.ReLU()
s = []
with m.register_forward_hook(lambda *a: s.append(1)) as h: m(torch.ones(1))
m(torch.ones(1))
out = s
""",
    "same hook twice": """
m = nn.ReLU()
s = []
def f(*a): s.append(len(s))
a = m.register_forward_hook(f)
b = m.register_forward_hook(f)
m(torch.ones(1))
a.remove()
m(torch.ones(1))
a.remove()
m(torch.ones(1))
b.remove()
m(torch.ones(1))
out = s
""",
    "remove the second of the same": """
m = nn.ReLU()
s = []
def f(*a): s.append('f')
def g(*a): s.append('g')
a = m.register_forward_hook(f)
m.register_forward_hook(g)
b = m.register_forward_hook(f)
b.remove()
m(torch.ones(1))
out = s
""",
    "hook with kwargs": """
class M(nn.Module):
 def forward(s, x, k=1): return x * k
m = M()
s = []
m.register_forward_hook(lambda mod, a, kw, o: s.append(kw), with_kwargs=True)
m(torch.ones(1), k=3)
out = s
""",
    "pre hook with kwargs": """
class M(nn.Module):
 def forward(s, x, k=1): return x * k
m = M()
m.register_forward_pre_hook(lambda mod, a, kw: (a, {'k': 5}), with_kwargs=True)
out = m(torch.ones(1), k=3)
""",
    "hook removed inside": """
m = nn.ReLU()
s = []
def f(*a): s.append(1); h.remove()
h = m.register_forward_hook(f)
m(torch.ones(1))
m(torch.ones(1))
out = s
""",
    "hook that raises leaves the others": """
m = nn.ReLU()
s = []
def f(*a): raise KeyError('x')
h = m.register_forward_hook(f)
try: m(torch.ones(1))
except KeyError: s.append('caught')
h.remove()
out = s, m(torch.ones(1))
""",
    "hook deepcopy": """
import copy
m = nn.ReLU()
s = []
m.register_forward_hook(lambda *a: s.append(1))
c = copy.deepcopy(m)
c(torch.ones(1))
out = len(s)
""",
    "tensor hook context": """
x = torch.ones(1, requires_grad=True)
s = []
with x.register_hook(lambda g: s.append(g.item())): (x * 2).sum().backward()
(x * 2).sum().backward()
out = s
""",
    "state_dict prefix": """
out = list(nn.Linear(1, 1).state_dict(prefix='model.')), list(nn.Sequential(nn.Linear(1, 1)).state_dict(prefix='m'))
""",
    "state_dict destination": """
d = {}
r = nn.Linear(1, 1).state_dict(destination=d, prefix='q.')
out = list(d), r is d
""",
    "state_dict keep_vars": """
m = nn.Linear(1, 1)
out = m.state_dict(keep_vars=True)['weight'] is m.weight, m.state_dict()['weight'].requires_grad
""",
    "state_dict is live": """
m = nn.Linear(1, 1)
s = m.state_dict()
m.weight.data.fill_(7.)
out = s['weight'].item()
""",
    "state_dict write through": """
m = nn.Linear(1, 1)
m.state_dict()['weight'].fill_(7.)
out = m.weight.item()
""",
    "load strict missing": "nn.Linear(1, 1).load_state_dict({'weight': torch.ones(1, 1)})",
    "load strict unexpected": """
m = nn.Linear(1, 1)
m.load_state_dict({**m.state_dict(), 'q': torch.ones(1)})
""",
    "load not strict": """
m = nn.Linear(1, 1)
a, b = m.load_state_dict({'weight': torch.ones(1, 1), 'q': torch.ones(1)}, strict=False)
out = list(a), list(b), m.weight.item()
""",
    "load result names": """
m = nn.Linear(1, 1)
r = m.load_state_dict(m.state_dict())
out = list(r.missing_keys), list(r.unexpected_keys), len(r), r[0] == []
""",
    "load not strict shape": "nn.Linear(1, 1).load_state_dict({'weight': torch.ones(2, 1)}, strict=False)",
    "load error type": """
try: nn.Linear(1, 1).load_state_dict({})
except RuntimeError: out = 'RuntimeError'
""",
    "load no mapping": 'nn.Linear(1, 1).load_state_dict([1])',
    "load keeps dtype": """
m = nn.Linear(1, 1)
m.load_state_dict({'weight': torch.ones(1, 1, dtype=torch.float64), 'bias': torch.ones(1, dtype=torch.float16)})
out = m.weight.dtype, m.bias.dtype, m.bias.item()
""",
    "load copies": """
m = nn.Linear(1, 1)
w = torch.ones(1, 1)
m.load_state_dict({'weight': w, 'bias': torch.ones(1)})
w.fill_(9.)
out = m.weight.item()
""",
    "load keeps identity": """
m = nn.Linear(1, 1)
w = m.weight
m.load_state_dict({'weight': torch.ones(1, 1), 'bias': torch.ones(1)})
out = m.weight is w, w.item(), w.requires_grad
""",
    "load keeps grad": """
m = nn.Linear(1, 1)
m(torch.ones(1, 1)).sum().backward()
m.load_state_dict({'weight': torch.ones(1, 1), 'bias': torch.ones(1)})
out = m.weight.grad.item()
""",
    "load None bias": """
m = nn.Linear(1, 1, bias=False)
m.load_state_dict({'weight': torch.ones(1, 1), 'bias': torch.ones(1)})
""",
    "bn old state": """
m = nn.BatchNorm1d(2)
s = {k: v for k, v in m.state_dict().items() if k != 'num_batches_tracked'}
m.load_state_dict(dict(s))
out = m.num_batches_tracked.item()
""",
    "state of empty module": """
m = nn.ReLU()
r = m.load_state_dict({})
out = len(m.state_dict()), list(r.missing_keys)
""",
    "half and back": """
m = nn.Linear(2, 2)
m.half()
a = m.weight.dtype
m.float()
out = a, m.weight.dtype
""",
    "double casts grads": """
m = nn.Linear(2, 2)
m(torch.ones(1, 2)).sum().backward()
m.double()
out = m.weight.dtype, m.weight.grad.dtype, m.weight.grad
""",
    "half casts grads and identity": """
m = nn.Linear(2, 2)
w = m.weight
m(torch.ones(1, 2)).sum().backward()
m.half()
out = m.weight is w, w.grad.dtype, w.dtype
""",
    "to keeps ints": """
m = nn.BatchNorm1d(2)
m.double()
out = m.num_batches_tracked.dtype, m.running_mean.dtype
""",
    "to int refused": 'nn.Linear(1, 1).to(torch.int64)',
    "to tensor": """
m = nn.Linear(1, 1).to(torch.ones(1, dtype=torch.float64))
out = m.weight.dtype
""",
    "to returns self": """
m = nn.Linear(1, 1)
out = m.to('cpu') is m, m.to(torch.float64) is m, m.cpu() is m
""",
    "to device kw": """
m = nn.Linear(1, 1).to(device='cpu', dtype=torch.float64)
out = m.bias.dtype
""",
    "to other": "nn.Linear(1, 1).to('nowhere')",
    "bfloat16": """
m = nn.Linear(1, 1).bfloat16()
out = str(m.weight.dtype).split('.')[-1]
""",
    "type": """
m = nn.Linear(1, 1).type(torch.float64)
out = m.weight.dtype
""",
    "train eval": """
m = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2)))
m.eval()
a = [x.training for x in m.modules()]
m.train()
out = a, [x.training for x in m.modules()], m.train(False) is m
""",
    "train wrong": 'nn.ReLU().train(1)',
    "requires_grad_": """
m = nn.Linear(1, 1).requires_grad_(False)
out = [p.requires_grad for p in m.parameters()], m.requires_grad_() is m
""",
    "zero_grad": """
m = nn.Linear(1, 1)
m(torch.ones(1, 1)).sum().backward()
m.zero_grad()
a = m.weight.grad
m(torch.ones(1, 1)).sum().backward()
m.zero_grad(set_to_none=False)
out = a, m.weight.grad
""",
    "deepcopy": """
import copy
m = nn.Linear(2, 2)
m(torch.ones(1, 2)).sum().backward()
c = copy.deepcopy(m)
c.weight.data.fill_(0.)
out = (m.weight == 0).any().item(), c.weight.grad, type(c.weight).__name__, c.weight.requires_grad
""",
    "deepcopy tied": """
import copy
net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
net[1].weight = net[0].weight
c = copy.deepcopy(net)
out = c[0].weight is c[1].weight, c[0].weight is net[0].weight
""",
    "pickle": """
import pickle
m = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
c = pickle.loads(pickle.dumps(m))
out = list(c.state_dict()), bool((c[0].weight == m[0].weight).all()), c[0].weight.requires_grad, c.training
""",
    "pickle tied": """
import pickle
net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
net[1].weight = net[0].weight
c = pickle.loads(pickle.dumps(net))
out = c[0].weight is c[1].weight
""",
    "extra_repr": """
class M(nn.Module):
 def extra_repr(s): return 'a=1'
out = repr(M()), repr(nn.Sequential(M()))
""",
    "bool of module": 'out = bool(nn.ReLU()), bool(nn.Linear(1, 1))',
    "module hash and eq": """
a, b = nn.ReLU(), nn.ReLU()
out = a == a, a == b, len({a, b})
""",
    "linear 0 in": """
m = nn.Linear(0, 3)
m.bias.data.fill_(1.)
out = m(torch.ones(2, 0)), tuple(m.weight.shape)
""",
    "linear 0 out": """
m = nn.Linear(3, 0)
out = m(torch.ones(2, 3)), sum(p.numel() for p in m.parameters())
""",
    "linear empty batch": """
m = nn.Linear(3, 2)
y = m(torch.ones(0, 3))
y.sum().backward()
out = y, m.weight.grad
""",
    "linear 0 in backward": """
m = nn.Linear(0, 3)
x = torch.ones(2, 0, requires_grad=True)
m(x).sum().backward()
out = x.grad, m.weight.grad, m.bias.grad
""",
    "conv 0 out": """
m = nn.Conv2d(3, 0, 3)
out = m(torch.ones(1, 3, 5, 5))
""",
    "conv 0 channels made": """
m = nn.Conv2d(0, 3, 3)
out = tuple(m.weight.shape)
""",
    "conv empty batch": """
m = nn.Conv2d(2, 3, 3)
y = m(torch.ones(0, 2, 5, 5))
y.sum().backward()
out = y, m.weight.grad
""",
    "conv groups 0": 'nn.Conv2d(4, 4, 3, groups=0)',
    "conv groups wrong": 'nn.Conv2d(3, 4, 3, groups=2)',
    "bn empty batch": """
m = nn.BatchNorm1d(2)
y = m(torch.ones(0, 2))
out = y, m.running_mean, m.running_var, m.num_batches_tracked.item()
""",
    "bn empty batch 2d": """
m = nn.BatchNorm2d(2)
x = torch.ones(0, 2, 3, 3, requires_grad=True)
y = m(x)
y.sum().backward()
out = y, m.running_mean, m.weight.grad, x.grad
""",
    "bn empty eval": """
m = nn.BatchNorm1d(2).eval()
out = m(torch.ones(0, 2)), m.running_mean
""",
    "bn one value": 'nn.BatchNorm1d(2)(torch.ones(1, 2))',
    "bn one value 2d": 'nn.BatchNorm2d(2)(torch.ones(1, 2, 1, 1))',
    "bn one value eval": 'out = nn.BatchNorm1d(2).eval()(torch.ones(1, 2))',
    "bn one value untracked eval": 'nn.BatchNorm1d(2, track_running_stats=False).eval()(torch.ones(1, 2))',
    "bn one row of several": """
m = nn.BatchNorm1d(2)
out = m(torch.tensor([[[1., 2.], [3., 5.]]])), m.running_var
""",
    "bn momentum None": """
m = nn.BatchNorm1d(1, momentum=None)
m(torch.tensor([[1.], [3.]]))
m(torch.tensor([[5.], [9.]]))
out = m.running_mean, m.running_var, m.num_batches_tracked.item()
""",
    "bn wrong dims": 'nn.BatchNorm2d(2)(torch.ones(2, 2))',
    "bn wrong channels": 'nn.BatchNorm1d(2)(torch.ones(2, 3))',
    "bn counter": """
m = nn.BatchNorm1d(2)
m(torch.randn(4, 2))
m.eval()
m(torch.randn(4, 2))
out = m.num_batches_tracked.item()
""",
    "bn reset": """
m = nn.BatchNorm1d(2)
m(torch.randn(4, 2))
m.reset_running_stats()
out = m.running_mean, m.running_var, m.num_batches_tracked.item()
""",
    "instance norm one value": 'nn.InstanceNorm1d(2)(torch.ones(3, 2, 1))',
    "group norm 0": 'nn.GroupNorm(0, 2)',
    "group norm indivisible": 'nn.GroupNorm(2, 3)',
    "group norm empty": 'out = nn.GroupNorm(1, 2)(torch.ones(0, 2, 3))',
    "layer norm empty": 'out = nn.LayerNorm(3)(torch.ones(0, 3))',
    "layer norm shape 0": 'out = nn.LayerNorm(0)(torch.ones(2, 0))',
    "embedding 0": """
m = nn.Embedding(0, 3)
out = tuple(m.weight.shape)
""",
    "embedding empty index": """
m = nn.Embedding(4, 3)
out = tuple(m(torch.zeros(0, dtype=torch.int64)).shape)
""",
    "dropout p": 'nn.Dropout(1.5)',
    "dropout p 1": 'out = nn.Dropout(1.0)(torch.ones(3))',
    "dropout eval": """
m = nn.Dropout(0.5).eval()
x = torch.ones(3)
out = m(x)
""",
    "flatten": """
out = tuple(nn.Flatten()(torch.ones(2, 3, 4)).shape), tuple(nn.Flatten(0)(torch.ones(2, 3)).shape)
""",
    "maxpool empty batch": 'out = nn.MaxPool2d(2)(torch.ones(0, 1, 4, 4))',
    "avgpool empty batch": 'out = nn.AvgPool2d(2)(torch.ones(0, 1, 4, 4))',
    "adaptive pool empty batch": 'out = nn.AdaptiveAvgPool2d(1)(torch.ones(0, 2, 4, 4))',
    "linear wrong features": 'nn.Linear(2, 3)(torch.ones(4, 3))',
    "linear 1d": """
m = nn.Linear(2, 3)
m.weight.data.fill_(1.)
m.bias.data.fill_(0.)
out = m(torch.ones(2))
""",
    "linear negative": 'nn.Linear(-1, 3)',
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_for_torch_does_the_same(name: str) -> None:
    check(PROGRAMS[name])
