"""Optimizers, schedules and the scaler do what PyTorch's do: programs run with both."""
# ruff: noqa: E501  (programs as users write them)

from __future__ import annotations

import pytest

from tests.programs import check

# name: program; what it leaves in `out`, or that it raises, is compared.
BEFORE_OPTIMIZERS = """
p = nn.Parameter(torch.tensor([1., 2.]))
q = nn.Parameter(torch.tensor([3.]))
"""

OPTIMIZERS: dict[str, str] = {
    "sgd step": """
o = optim.SGD([p], lr=.1)
(p*p).sum().backward()
o.step()
out = p
""",
    "generator": """
o = optim.SGD((x for x in [p, q]), lr=.1)
out = len(o.param_groups[0]['params'])
""",
    "exhausted generator": """
g = (x for x in [p])
list(g)
optim.SGD(g, lr=.1)
""",
    "empty list": 'optim.SGD([], lr=.1)',
    "one tensor": 'optim.SGD(p, lr=.1)',
    "a number": 'optim.SGD([3], lr=.1)',
    "None": 'optim.SGD(None, lr=.1)',
    "None in list": 'optim.SGD([None], lr=.1)',
    "no grad needed": """
x = torch.ones(1)
o = optim.SGD([x], lr=.1)
o.step()
out = x
""",
    "non leaf": 'optim.SGD([p * 2], lr=.1)',
    "two groups sharing": "optim.SGD([{'params': [p]}, {'params': [p]}], lr=.1)",
    "named": """
o = optim.SGD([('a', p), ('b', q)], lr=.1)
out = o.param_groups[0]['param_names'], len(o.param_groups[0]['params'])
""",
    "named module": """
m = nn.Linear(1, 1)
o = optim.AdamW(m.named_parameters(), lr=.1)
out = o.param_groups[0]['param_names'], o.state_dict()['param_groups'][0]['param_names']
""",
    "half named": "optim.SGD([('a', p), q], lr=.1)",
    "named then unnamed group": """
o = optim.SGD([('a', p)], lr=.1)
o.add_param_group({'params': [q]})
""",
    "named groups": """
o = optim.SGD([{'params': [('a', p)]}, {'params': [('b', q)], 'lr': .5}], lr=.1)
out = [g['param_names'] for g in o.param_groups], [g['lr'] for g in o.param_groups]
""",
    "group without params": "optim.SGD([{'lr': .1}], lr=.1)",
    "group params tensor": """
o = optim.SGD([{'params': p}], lr=.1)
out = len(o.param_groups[0]['params'])
""",
    "group empty params": """
o = optim.SGD([{'params': []}, {'params': [p]}], lr=.1)
(p*p).sum().backward()
o.step()
out = p
""",
    "group extra keys": """
o = optim.SGD([{'params': [p], 'lr_mult': 3, 'layer_id': 7, 'lr_scale': .5}], lr=.1)
out = o.param_groups[0]['lr'], o.param_groups[0]['lr_mult'], o.state_dict()['param_groups'][0]['layer_id']
""",
    "lr_scale changes nothing": """
o = optim.SGD([{'params': [p], 'lr_scale': .5}], lr=.1)
(p*p).sum().backward()
o.step()
out = p, o.param_groups[0]['lr']
""",
    "lr_scale add": """
o = optim.SGD([q], lr=.1)
o.add_param_group({'params': [p], 'lr_scale': .1})
out = [g['lr'] for g in o.param_groups]
""",
    "lr_scale and step": """
o = optim.Adam([{'params': [p], 'lr_scale': .5}], lr=.1)
s = sched.StepLR(o, 1)
s.step()
out = o.param_groups[0]['lr']
""",
    "negative lr": 'optim.SGD([p], lr=-1)',
    "lr zero": """
o = optim.SGD([p], lr=0.)
out = o.param_groups[0]['lr']
""",
    "lr text": "optim.SGD([p], lr='a')",
    "betas wrong": 'optim.Adam([p], betas=(1.0, .9))',
    "eps negative": 'optim.Adam([p], eps=-1.)',
    "momentum negative": 'optim.SGD([p], lr=.1, momentum=-1)',
    "nesterov": 'optim.SGD([p], lr=.1, nesterov=True)',
    "lr default": """
o = optim.SGD([p])
out = o.param_groups[0]['lr'], o.defaults['lr']
""",
    "lr tensor": """
o = optim.SGD([p], lr=torch.tensor(.1))
(p*p).sum().backward()
o.step()
out = p
""",
    "change lr": """
o = optim.SGD([p], lr=.1)
o.param_groups[0]['lr'] = 1.
(p*p).sum().backward()
o.step()
out = p
""",
    "zero_grad": """
o = optim.SGD([p], lr=.1)
(p*p).sum().backward()
o.zero_grad()
a = p.grad
(p*p).sum().backward()
o.zero_grad(set_to_none=False)
out = a, p.grad
""",
    "zero_grad positional": """
o = optim.SGD([p], lr=.1)
(p*p).sum().backward()
o.zero_grad(False)
out = p.grad
""",
    "no gradient": """
o = optim.Adam([p], lr=.1)
o.step()
out = p, len(o.state)
""",
    "closure": """
o = optim.SGD([p], lr=.1)
def f():
 o.zero_grad()
 l = (p*p).sum()
 l.backward()
 return l
out = o.step(f), p
""",
    "closure in no_grad": """
o = optim.SGD([p], lr=.1)
def f():
 o.zero_grad()
 l = (p*p).sum()
 l.backward()
 return l
with torch.no_grad(): r = o.step(closure=f)
out = r, p
""",
    "closure raises": """
o = optim.SGD([p], lr=.1)
def f(): raise KeyError('x')
try: o.step(f)
except KeyError: pass
out = p, torch.is_grad_enabled()
""",
    "step returns None": """
o = optim.SGD([p], lr=.1)
out = o.step()
""",
    "state defaultdict": """
o = optim.SGD([p], lr=.1)
o.state[p]['n'] = 1
out = len(o.state), o.state[q], type(o.state).__name__
""",
    "state default get": """
o = optim.Adam([p], lr=.1)
out = len(o.state[p]), o.state.get(q)
""",
    "state after adam": """
o = optim.Adam([p], lr=.1)
(p*p).sum().backward()
o.step()
out = sorted(o.state[p]), int(o.state[p]['step'])
""",
    "state_dict layout": """
o = optim.Adam([p, q], lr=.1)
(p*p).sum().backward()
o.step()
s = o.state_dict()
out = list(s), list(s['state']), s['param_groups'][0]['params'], s['param_groups'][0]['lr']
""",
    "state round trip": """
import copy
o = optim.Adam([p], lr=.1)
(p*p).sum().backward()
o.step()
s = copy.deepcopy(o.state_dict())
r = nn.Parameter(torch.tensor(p.tolist()))
b = optim.Adam([r], lr=9.)
b.load_state_dict(s)
r.grad = torch.ones(2)
b.step()
out = r, b.param_groups[0]['lr']
""",
    "load groups differ": """
o = optim.SGD([p], lr=.1)
o.load_state_dict(optim.SGD([p, q], lr=.1).state_dict())
""",
    "load group count": """
o = optim.SGD([p], lr=.1)
o.load_state_dict(optim.SGD([{'params': [p]}, {'params': [q]}], lr=.1).state_dict())
""",
    "load keeps extra keys": """
o = optim.SGD([{'params': [p], 'tag': 'x'}], lr=.1)
b = optim.SGD([q], lr=.2)
b2 = optim.SGD([q], lr=.2)
s = o.state_dict()
b.load_state_dict(s)
out = b.param_groups[0].get('tag'), b.param_groups[0]['lr']
""",
    "load no state": 'optim.SGD([p], lr=.1).load_state_dict({})',
    "add_param_group": """
o = optim.SGD([p], lr=.1)
o.add_param_group({'params': q, 'lr': 1.})
(p.sum() * q.sum()).backward()
o.step()
out = p, q, len(o.param_groups)
""",
    "add_param_group duplicate": """
o = optim.SGD([p], lr=.1)
o.add_param_group({'params': [p]})
""",
    "add_param_group no dict": """
o = optim.SGD([p], lr=.1)
o.add_param_group([q])
""",
    "deepcopy": """
import copy
o = optim.Adam([p], lr=.1)
(p*p).sum().backward()
o.step()
c = copy.deepcopy(o)
r = c.param_groups[0]['params'][0]
out = r is p, r, r in c.state, int(c.state[r]['step'])
r.grad = torch.ones(2)
c.step()
out += (p,)
""",
    "deepcopy together": """
import copy
m = nn.Linear(1, 1)
o = optim.SGD(m.parameters(), lr=.1)
m2, o2 = copy.deepcopy((m, o))
out = o2.param_groups[0]['params'][0] is m2.weight
""",
    "pickle": """
import pickle
o = optim.Adam([p], lr=.1)
(p*p).sum().backward()
o.step()
c = pickle.loads(pickle.dumps(o))
r = c.param_groups[0]['params'][0]
r.grad = torch.ones(2)
c.step()
out = r, int(c.state[r]['step'])
""",
    "pickle together": """
import pickle
m = nn.Linear(1, 1)
o = optim.SGD(m.parameters(), lr=.1, momentum=.9)
m2, o2 = pickle.loads(pickle.dumps((m, o)))
out = o2.param_groups[0]['params'][0] is m2.weight
""",
    "rmsprop alpha": 'optim.RMSprop([p], alpha=-.1)',
    "adadelta rho": 'optim.Adadelta([p], rho=1.1)',
    "adadelta rho negative": 'optim.Adadelta([p], rho=-.1)',
    "grad of other dtype": """
o = optim.SGD([p], lr=.1)
try: p.grad = torch.ones(2, dtype=torch.float64); o.step()
except RuntimeError: p.data.sub_(.1)
out = 1
""",
    "half param": """
h = nn.Parameter(torch.ones(2, dtype=torch.float16))
o = optim.SGD([h], lr=.5, momentum=.9)
h.grad = torch.ones(2, dtype=torch.float16)
o.step()
out = h, h.dtype
""",
    "model moved to double": """
m = nn.Linear(1, 1, bias=False)
m.weight.data.fill_(1.)
o = optim.SGD(m.parameters(), lr=.1)
m.double()
m(torch.ones(1, 1, dtype=torch.float64)).sum().backward()
o.step()
out = m.weight
""",
    "param data replaced": """
o = optim.SGD([p], lr=.1)
p.data = torch.zeros(2)
p.grad = torch.ones(2)
o.step()
out = p
""",
    "frozen later": """
o = optim.SGD([p, q], lr=.1)
q.requires_grad_(False)
p.sum().backward()
o.step()
out = p, q
""",
    "create graph grads": """
o = optim.SGD([p], lr=.1)
g, = torch.autograd.grad((p*p*p).sum(), p, create_graph=True)
p.grad = g
o.step()
out = p
""",
    "own optimizer": """
class O(optim.Optimizer):
 def __init__(s, params, lr=.1, beta=.9): super().__init__(params, dict(lr=lr, beta=beta))
 def step(s, closure=None):
  loss = closure() if closure is not None else None
  for g in s.param_groups:
   for x in g['params']:
    if x.grad is None: continue
    st = s.state[x]
    if len(st) == 0: st['step'] = 0; st['buf'] = torch.zeros_like(x.data)
    st['step'] += 1
    st['buf'].mul_(g['beta']).add_(x.grad.data, alpha=1 - g['beta'])
    x.data.add_(st['buf'], alpha=-g['lr'])
  return loss
o = O([p])
(p*p).sum().backward()
o.step()
o.step()
import copy
s = copy.deepcopy(o.state_dict())
r = nn.Parameter(torch.tensor(p.tolist()))
b = O([r])
b.load_state_dict(s)
r.grad = torch.ones(2)
b.step()
out = p, r, b.state[r]['step'], b.state[r]['buf']
""",
    "own optimizer no_grad": """
class O(optim.Optimizer):
 def __init__(s, params, lr): super().__init__(params, {'lr': lr})
 @torch.no_grad()
 def step(s):
  for g in s.param_groups:
   for x in g['params']:
    x.add_(x.grad, alpha=-g['lr'])
o = O([{'params': [p]}, {'params': [q], 'lr': 1.}], .1)
(p.sum() + q.sum()).backward()
o.step()
out = p, q
""",
    "own optimizer other shapes": """
class O(optim.Optimizer):
 def __init__(s, params): super().__init__(params, {'lr': 1.})
 def step(s):
  for x in s.param_groups[0]['params']: s.state[x]['row'] = torch.zeros(5); s.state[x]['hist'] = [torch.ones(1)]; s.state[x]['flag'] = True; s.state['global']['n'] = 3
o = O([p])
o.step()
b = O([p])
b.load_state_dict(o.state_dict())
out = b.state[p]['row'], b.state[p]['hist'], b.state[p]['flag'], b.state['global']
""",
    "own optimizer no lr": """
class O(optim.Optimizer):
 def __init__(s, params): super().__init__(params, {})
 def step(s): pass
o = O([p])
o.step()
out = len(o.param_groups), o.state_dict()['state']
""",
    "own optimizer no lr, group lr": """
class O(optim.Optimizer):
 def __init__(s, params): super().__init__(params, {'rho': .05})
o = O([{'params': [p], 'rho': .1}])
out = o.param_groups[0]['rho']
""",
    "wrapper optimizer SAM": """
class SAM(optim.Optimizer):
 def __init__(s, params, base, rho=.05, **kw):
  super().__init__(params, dict(rho=rho, **kw))
  s.base_optimizer = base(s.param_groups, **kw)
  s.param_groups = s.base_optimizer.param_groups
  s.defaults.update(s.base_optimizer.defaults)
 @torch.no_grad()
 def first_step(s):
  for g in s.param_groups:
   for x in g['params']: s.state[x]['old'] = x.data.clone(); x.add_(x.grad, alpha=g['rho'])
 @torch.no_grad()
 def second_step(s):
  for g in s.param_groups:
   for x in g['params']: x.data = s.state[x]['old']
  s.base_optimizer.step()
o = SAM([p], optim.SGD, lr=.1, momentum=.9)
(p*p).sum().backward()
o.first_step()
o.zero_grad()
(p*p).sum().backward()
o.second_step()
out = p
""",
    "lookahead over groups": """
o = optim.SGD([p], lr=.1)
slow = [x.data.clone() for g in o.param_groups for x in g['params']]
(p*p).sum().backward()
o.step()
for x, s in zip(o.param_groups[0]['params'], slow): s.add_(x.data - s, alpha=.5); x.data.copy_(s)
out = p
""",
}  # fmt: skip

BEFORE_SCHEDULES = """
p = nn.Parameter(torch.ones(1))
q = nn.Parameter(torch.ones(1))
def go(o, *ss, n=6):
 out = []
 for _ in range(n):
  out.append([g['lr'] for g in o.param_groups])
  o.step()
  for s in ss: s.step()
 return out
"""

SCHEDULES: dict[str, str] = {
    "two groups": """
o = optim.SGD([{'params': [p], 'lr': .1}, {'params': [q], 'lr': .5}])
s = sched.StepLR(o, 1)
out = go(o, s, n=3)
""",
    "onecycle": """
o = optim.SGD([p], lr=1., momentum=.9)
s = sched.OneCycleLR(o, .1, total_steps=6)
r = []
for _ in range(5): r.append((o.param_groups[0]['lr'], o.param_groups[0]['momentum'])); o.step(); s.step()
out = r
""",
    "no optimizer": 'sched.StepLR(p, 1)',
    "own schedule": """
class S(sched.LRScheduler):
 def __init__(s, o, k, last_epoch=-1): s.k = k; super().__init__(o, last_epoch)
 def get_lr(s): return [b / (1 + s.k * s.last_epoch) for b in s.base_lrs]
o = optim.SGD([p], lr=1.)
s = S(o, .5)
out = go(o, s, n=4), s.get_last_lr()
""",
    "own schedule get_last": """
class S(sched.LRScheduler):
 def get_lr(s): return [g['lr'] * .5 if s.last_epoch else g['lr'] for g in s.optimizer.param_groups]
o = optim.SGD([p], lr=1.)
s = S(o)
out = go(o, s, n=4), s.state_dict()['last_epoch'], s.state_dict()['_last_lr']
""",
    "load nothing": """
o = optim.SGD([p], lr=1.)
s = sched.StepLR(o, 1)
s.load_state_dict({'last_epoch': 3, **{k: v for k, v in s.state_dict().items() if k != 'last_epoch'}})
out = s.last_epoch
""",
    "warmup by hand": """
o = optim.SGD([p], lr=1.)
s = sched.LambdaLR(o, lambda e: min(1., (e + 1) / 4))
out = go(o, s)
""",
    "lr in log": """
o = optim.AdamW([p], lr=1e-3)
s = sched.CosineAnnealingLR(o, T_max=10)
s.step()
out = s.get_last_lr()[0]
""",
}  # fmt: skip

KINDS = {
    "StepLR": "2, gamma=.5",
    "CosineAnnealingLR": "4, eta_min=.01",
    "LambdaLR": "lambda e: .9 ** e",
}
OTHERS = {"StepLR": "3, gamma=.1", "CosineAnnealingLR": "5", "LambdaLR": "lambda e: 1 / (1 + e)"}

EACH: dict[str, str] = {
    "alone": """
s = sched.KIND
out = go(o, s, n=10), s.get_last_lr(), s.base_lrs, s.last_epoch
""",
    "a rate changed by hand": """
s = sched.KIND
first = go(o, s, n=3)
o.param_groups[0]['lr'] *= .1
out = first, go(o, s, n=4)
""",
    "a group added": """
s = sched.KIND
first = go(o, s, n=3)
o.add_param_group({'params': [q], 'lr': .3})
try: out = first, go(o, s, n=2)
except Exception: out = 'refused'
""",
    "initial_lr": """
s = sched.KIND
go(o, s, n=3)
b = optim.SGD([q], lr=9.)
b.load_state_dict(o.state_dict())
s = sched.KIND_b
out = s.base_lrs, b.param_groups[0]['initial_lr']
""",
    "last_epoch": """
s = sched.KIND
go(o, s, n=3)
b = optim.SGD([q], lr=9.)
b.load_state_dict(o.state_dict())
s = sched.KIND_b_at_2
out = s.last_epoch, s.base_lrs, go(b, s, n=4)
""",
    "last_epoch without initial_lr": "b = o; sched.KIND_b_at_2",
    "saved and loaded": """
s = sched.KIND
go(o, s, n=3)
b = optim.SGD([q], lr=9.)
t = sched.KIND_b
b.load_state_dict(o.state_dict())
t.load_state_dict(s.state_dict())
out = go(b, t, n=5), t.last_epoch
""",
}  # fmt: skip
for kind, options in KINDS.items():
    calls = {
        "KIND_b_at_2": f"{kind}(b, {options}, last_epoch=2)",
        "KIND_b": f"{kind}(b, {options})",
        "KIND": f"{kind}(o, {options})",
    }
    for what, program in EACH.items():
        for name, call in calls.items():
            program = program.replace(name, call)
        SCHEDULES[f"{kind}, {what}"] = f"o = optim.SGD([p], lr=1.)\n{program}"
    for other, others in OTHERS.items():
        SCHEDULES[f"{kind} and {other} chained"] = f"""
o = optim.SGD([p], lr=1.)
a, b = sched.{kind}(o, {options}), sched.{other}(o, {others})
out = go(o, a, b, n=8), a.get_last_lr(), b.get_last_lr()
"""

BEFORE_SCALER = """
p = nn.Parameter(torch.tensor([2.]))
"""

SCALER: dict[str, str] = {
    "scaler step": """
o = optim.SGD([p], lr=.25)
s = amp.GradScaler('cpu')
s.scale((p*p).sum()).backward()
s.step(o)
s.update()
out = p, s.get_scale()
""",
    "scaler inf": """
o = optim.SGD([p], lr=.25)
s = amp.GradScaler('cpu')
s.scale((p*p).sum() * float('inf')).backward()
s.step(o)
s.update()
out = p, s.get_scale(), s._get_growth_tracker() if hasattr(s, '_get_growth_tracker') else 0
""",
    "scaler nan": """
o = optim.SGD([p], lr=.25)
s = amp.GradScaler('cpu', init_scale=8.)
s.scale((p*p).sum() * float('nan')).backward()
s.step(o)
s.update()
out = p, s.get_scale()
""",
    "scaler growth": """
o = optim.SGD([p], lr=0.)
s = amp.GradScaler('cpu', init_scale=4., growth_interval=2)
for _ in range(5): o.zero_grad(); s.scale(p.sum()).backward(); s.step(o); s.update()
out = s.get_scale()
""",
    "scaler update value": """
s = amp.GradScaler('cpu')
s.scale(p.sum())
s.update(16.)
out = s.get_scale()
""",
    "scaler update tensor": """
s = amp.GradScaler('cpu')
s.scale(p.sum())
s.update(torch.tensor(16.))
out = s.get_scale()
""",
    "scaler twice": """
o = optim.SGD([p], lr=.25)
s = amp.GradScaler('cpu')
s.scale(p.sum()).backward()
s.unscale_(o)
s.unscale_(o)
""",
    "scaler step twice": """
o = optim.SGD([p], lr=.25)
s = amp.GradScaler('cpu')
s.scale(p.sum()).backward()
s.step(o)
s.step(o)
""",
    "scaler update before": """
s = amp.GradScaler('cpu')
s.update()
""",
    "scaler closure": """
o = optim.SGD([p], lr=.25)
s = amp.GradScaler('cpu')
s.scale(p.sum()).backward()
s.step(o, closure=lambda: 1)
""",
    "scaler off": """
o = optim.SGD([p], lr=.25)
s = amp.GradScaler('cpu', enabled=False)
x = p.sum()
out = s.scale(x) is x
x.backward()
s.unscale_(o)
s.step(o)
s.update()
out = out, p, s.get_scale(), s.state_dict(), s.is_enabled()
""",
    "scaler list": """
s = amp.GradScaler('cpu', init_scale=2.)
a, b = s.scale([p.sum(), p.sum()])
out = a, b, type(s.scale((p.sum(),))).__name__
""",
    "scaler float": "amp.GradScaler('cpu').scale(3.)",
    "scaler clip": """
o = optim.SGD([p], lr=1.)
s = amp.GradScaler('cpu')
s.scale((p * 10).sum()).backward()
s.unscale_(o)
nn.utils.clip_grad_norm_([p], 1.)
s.step(o)
s.update()
out = p
""",
    "scaler state": """
s = amp.GradScaler('cpu', init_scale=2.)
out = sorted(s.state_dict())
""",
    "scaler load": """
s = amp.GradScaler('cpu', init_scale=2.)
s.load_state_dict({'scale': 8., 'growth_factor': 3., 'backoff_factor': .25, 'growth_interval': 7, '_growth_tracker': 2})
out = s.get_scale(), s.get_growth_factor(), s.get_growth_interval()
""",
    "scaler load empty": "amp.GradScaler('cpu').load_state_dict({})",
    "scaler growth factor": "amp.GradScaler('cpu', growth_factor=.5)",
    "scaler pickle": """
import pickle
s = pickle.loads(pickle.dumps(amp.GradScaler('cpu', init_scale=4.)))
out = s.get_scale()
""",
}  # fmt: skip

PROGRAMS = {
    name: before + program
    for before, programs in (
        (BEFORE_OPTIMIZERS, OPTIMIZERS),
        (BEFORE_SCHEDULES, SCHEDULES),
        (BEFORE_SCALER, SCALER),
    )
    for name, program in programs.items()
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_for_torch_does_the_same(name: str) -> None:
    check(PROGRAMS[name])
