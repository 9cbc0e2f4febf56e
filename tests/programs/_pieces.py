"""What the programs of compiled.py are made of: pieces of text, two spaces or a line between them.

{a}, {b}: (4, 3) floats; {w}: (3, 3); {v}, {p}: (3,); {i}: 4 indices; {y}: 4 classes; {t}: what is
changed; {h}: what a model gave; {s}, {m}: numbers and small integers, which may be arguments, from
the closure, from the module, or tensors.
"""

import re


def pieces(text):
    return re.split(r" {2,}|\n *", text.strip())


NUMBERS = pieces("""
    0.5  0.0  -0.0  2  1  1.0  True  False  -1.5  math.nan  float('nan')  3  np.float32(0.5)
""")

# Expressions of shape (4, 3)

UNARY = pieces("""
    {a}.tanh()  {a}.sigmoid()  F.relu({a})  F.gelu({a})  F.softmax({a}, 1)  -{a}  {a} * {s}
    {a} + {s}  {s} - {a}  {a}[:, [2, 0, 1]]  {a}.reshape(-1).view(-1, 3)  {a}.T.contiguous().T
    {a}.clone()  {a}.detach()  ({a} - {a}.mean(0))  {a}.cumsum(0)  {a}.masked_fill({a} > {s}, {s})
    {a} @ {w}  F.linear({a}, {w}, {v})  {a} * {v}  {a}.clamp(-1.0, {s})  {a}.roll({m}, 0)
    {a}.float().double().float()  {a}.exp().log1p()  mg.where({a} > 0, {a}, {s})
    F.layer_norm({a}, (3,), {v})  mg.cat([{a}[1:], {a}[:1]])  F.dropout({a}, 0.5)
    F.dropout({a}, 0.5, generator=gen)  mg.stack([{a}, {a}]).sum(0)  ({a} ** 2)  mg.abs({a}) ** {s}
    {a} / {s}  {a}.flip(1)  {a}.expand(2, -1, 3)[1]  {a}.to({b})  mg.zeros_like({a}).add({a})
""")

OPTIONS = pieces("""
    mg.cat([{a}[:{m}], {a}[{m}:]])  {a}.tril({m})  mg.add({a}, {a}, alpha={m})
    {a}.round(decimals={m})  {a}.repeat({m}, 1)[:len({a})]  {a} + {a}.narrow(0, 0, {m}).mean(0)
    {a}.index_select(0, {i})  {a}[{i}]  {a}.gather(0, {i}[:, None].expand(-1, 3))  {a} * {a}[{m}]
    {a}.take_along_dim({i}[:, None], 0)  F.embedding({i}, {a})  {a}.roll({m}, {m} - 1)
    {a}.clamp({m})  {a} * {a}.norm({m})  {a} + {a}.sum() * {m}
    {a}.unsqueeze({m} - 1).squeeze({m} - 1)  {a} + {a}[{m}:].sum(0)  {a} * {a}[:, {m}][:, None]
    {a} + {a}.split({m})[-1].mean(0)  {a} ** {m}  {a} + {a}.amax({m} - 1).mean()
""")

BINARY = pieces("""
    {a} + {b}  {a} * {b}  {a} - {b}  mg.maximum({a}, {b})  mg.where({a} > {b}, {a}, {b})
    ({a} @ {b}.T) @ {b}  {a} * {b}.mean()  mg.cat([{a}, {b}])[:len({a})]  {a} + {b}[0]
""")

# What a step does

CHANGES = pieces("""
    {t}.mul_({s})  {t}.add_({a})  {t}[0] = {s}  {t}[:, 1].add_(1)  {t}.fill_({s})  {t}.copy_({a})
    {t}[1] = {a}[0]  {t}[...] = 0.5  {t}.reshape(-1)[::2].zero_()  {t}.clamp_(-1, 1)
    {t}.T[0].mul_(2)
    {t}.data.mul_(0.5)  {t}.detach().add_(0.25)  {t}.sub_({t})
""")

LOSSES = pieces("""
    F.mse_loss({h}, {b})  F.l1_loss({h}, {b}, reduction='sum')  F.cross_entropy({h}, y)
    F.cross_entropy({h}, y, {p}, label_smoothing=0.1)  F.smooth_l1_loss({h}, {b}, beta=0.5)
    F.binary_cross_entropy_with_logits({h}, ({b} > 0).float(), pos_weight={p})
    F.binary_cross_entropy({h}.sigmoid(), {b}.sigmoid())  ({h} ** 2).mean()  {h}.sum()
    F.nll_loss(F.log_softmax({h}, 1), y, ignore_index=1)  F.huber_loss({h}, {b}, delta=0.7)
    F.quantile_loss({h}, {b}, 0.3)  F.mse_loss({h}, {b}, reduction='none').sum(0).max()
    F.smooth_l1_loss({h}, {b}, beta=abs({s}))  criterion({h}, y)
""")

# lines that a recording can hardly follow
DOUBTFUL = pieces("""
    h = h * mg.rand(3)  h = h + mg.randn_like(h)  h = h[mg.randperm(len(h))]
    h = h[rng.permutation(len(h))]  h = h + mg.Tensor(rng.standard_normal(3))  mg.manual_seed(3)
    gen.manual_seed(4)  h = h * gen.initial_seed()  h = h * h.sum().item()
    h = h if h.sum() > 0 else -h  h = h[h > 0].sum() + h  h = h * float(c.mean())
    h = h + mg.tensor(c.tolist())  c.data = c * 2  h = h + mg.from_numpy(np.ones(3, np.float32))
    h = h + mg.tensor([1.0, 2.0, 3.0])  h = h * np.ones(3, np.float32)
    h = h + next(iter(loader))[0].mean()
    h = h + sum(b[0].sum() * (j + 1) for j, b in enumerate(loader))  nn.init.normal_(c)
    c.uniform_()  h = h + mg.arange({m}).sum()  h = h * mg.full((3,), {s})
    h = h[np.array([1, 0] * len(h))[:len(h)]]  h = h + mg.eye(3)[0]
    nonlocal_ += 1  x.requires_grad_()
    c.requires_grad_()  h = h.detach().requires_grad_()
    model.train() if model.training else model.eval()  model.eval()  model.requires_grad_()
    h = np.add(h, h)  h = h + mg.ones(3).numpy()
    h = mg.compile(lambda t: t * 2)(h.detach())  h = h + copy.deepcopy(c)
    x.grad = None  h = h + mg.zeros(3, requires_grad=True)
    opt.add_param_group({'params': [v]})  opt.param_groups[0]['lr'] *= 0.5
    opt.load_state_dict(saved)  h = h + opt.param_groups[0]['lr']  h = h * len(model)
    copy.deepcopy(model)(h.detach())
    model.load_state_dict(model.state_dict())  bag['k'] += 1  bag['list'].append(h.detach())
    bag['w'] = h.detach()[0]  h = h + mg.Tensor(np.array([GAIN, 2, 3], np.float32))
    h = h * F.dropout(h, p=p.mean().clamp(0, 1))  h.data = h.data * 2  x.data = x.data * 2
    h = h + np.asarray(c)[0]  h = h + c.numpy().mean()  h = h * int((c > 0).sum())
    h = h if mg.allclose(x, c) else h + 1  h = h if mg.equal(x, c) else h + 1
    h = h + mg.tensor(h[0])  h = h + sum(row.sum() for row in c)  h = h + float(f'{c[0, 0]:.3f}')
    h = h * max(p)
""")

STATEMENTS = pieces("""
    h = {a}  h = {a}  h = {a} + h  {of_h}  {of_x}  {of_c}  if {s} == 2: h = h * 2
    if {s} == 2: raise ValueError('above')  if len(x) == 2: raise ValueError('short')
    h = h.clone(); {of_h}  g = h[0]; {of_h}; h = h + g  with mg.no_grad(): h = {a}
    if len(x) > 3: h = h + 1  if x.dtype == mg.float64: h = h * 3  if x is c: h = h * 2
    if mg.is_grad_enabled(): h = h + 1  if w.grad is None: h = h * 1.5
    if w.requires_grad: h = h + w[0]  h[:, 0] = {a}[:, 1]
    h = h + v.grad if v.grad is not None else h  h = h * (2 if x.requires_grad else 1)
    h = h * bag['k']  h = h + bag['w']  h = h + bag['list'][0]
    h = h + sum(t.sum() for t in bag['list'])
    h = h + later[0]({a})  h = helper(h)  h = h.requires_grad_(False) if not h.requires_grad else h
    h.retain_grad() if h.requires_grad else None
    h = h.detach_() if h.is_leaf else h  h = h + defaults({a})  for q in [1, 2]: h = h * q + {a}
""")

CLEARINGS = pieces("""
    model.zero_grad()  for q in model.parameters(): q.grad = None  w.grad = None; model.zero_grad()
    pass  model.zero_grad(set_to_none=False)  w.grad = None
    [q.grad.zero_() for q in model.parameters() if q.grad is not None]
""")

BACKWARDS = pieces("""
    loss.backward()  loss.backward()  loss.backward()  mg.autograd.backward(loss)
    (loss * 2).backward()  q_ = [*model.parameters()]; q_[0].grad = mg.autograd.grad(loss, q_[0])[0]
    loss.backward(retain_graph=True); loss.backward()
""")

# between backward() and the optimizer's step
CLIPS = pieces("""
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    nn.utils.clip_grad_value_(model.parameters(), 0.05)
    [q.grad.mul_(0.5) for q in model.parameters() if q.grad is not None]
    w.grad = None if w.grad is None else w.grad * 0.5  if w.grad is not None: w.data.sub_(w.grad)
    with mg.no_grad(): c.mul_(0.9).add_(h.detach(), alpha=0.1)
    with mg.no_grad(): [q.sub_(0.1 * q.grad) for q in model.parameters() if q.grad is not None]
    if {s} == 2: raise ValueError('late')
""")

RETURNED = pieces("""
    x  c  x[1:]  c[0]  x.T  i  None  3  'text'  w.detach()  x.detach()  x.view(-1)  p  w.grad
""")

# What there is

LAYERS = pieces("""
    nn.Linear(3, 3)  nn.Linear(3, 3, bias=False)  nn.Tanh()  nn.ReLU()  nn.Dropout(0.4)
    nn.BatchNorm1d(3)  nn.LayerNorm(3)  nn.LeakyReLU(0.2)  nn.ELU()  nn.Softplus()  Net()
    nn.Identity()
""")

OPTIMIZERS = pieces("""
    SGD({p}, lr=0.1)  SGD({p}, lr=0.1, momentum=0.9)  SGD({p}, lr=0.1, weight_decay=0.1)
    Adam({p}, lr=0.01)  AdamW({p}, lr=0.01)  RMSprop({p}, lr=0.01, centered=True)
    Adam({p}, lr=0.02, betas=(0.5, 0.9))
""")

SCHEDULERS = pieces("""
    StepLR(opt, 2, gamma=0.5)  ExponentialLR(opt, 0.9)  CosineAnnealingLR(opt, 5)
    LambdaLR(opt, lambda epoch: 1 / (1 + epoch))  MultiStepLR(opt, [1, 3], gamma=0.3)
""")

NET = """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(mg.randn(3, 3) * 0.5)
        self.register_buffer("seen", mg.zeros(3))
        self.register_buffer("steps", mg.zeros((), dtype=mg.int64))
        self.gain, self.last, self.tables = 1.5, None, [mg.ones(3), mg.zeros(3)]
    def forward(self, x):
        {body}
"""
FORWARDS = pieces("""
    return (x @ self.weight) * self.gain  return x @ self.weight + self.seen
    return x @ self.weight.T + (1.0 if self.training else 2.0)
    self.seen.add_(x.detach().mean(0)); return x @ self.weight
    self.steps += 1; return x @ self.weight * self.gain  return (x @ self.weight) * self.tables[0]
    return x @ self.weight if self.last is None else x @ self.weight + 1
""")

# what a step would change for good: structure, or Python's numbers
REMEMBERING = pieces("""
    self.last = x.detach(); return x @ self.weight
    out = x @ self.weight + (self.last or 0.0); self.last = x.detach().mean(0); return out
    self.seen = self.seen * 0.9 + x.detach().mean(0); return x @ self.weight + self.seen
    self.gain = self.gain * 0.5; return x @ self.weight * self.gain
    self.gain = 2.5; return x @ self.weight * self.gain
    self.weight.data = self.weight.data * 0.9; return x @ self.weight
    self.weight = nn.Parameter(self.weight.detach() * 0.9); return x @ self.weight
    self.register_buffer('seen', x.detach().mean(0)); return x @ self.weight + self.seen
    self.training = not self.training; return x @ self.weight
""")

OWN = """\
class Own(mg.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr, "decay": 0.0})
    def step(self):
        with mg.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.add_(p.grad + group["decay"] * p, alpha=-group["lr"])
"""


# What is passed: arguments of shape (4, 3), and others that are rare; of other kinds

TENSORS = pieces("x0  x0  x1  x1  mg.randn(4, 3)  x0.clone()")
RARE_TENSORS = pieces("""
    x0[:2]  x0.double()  mg.randn(3, 4).T  c  c.detach()  c[:]  x0[:]  mg.ones(3).expand(4, 3)
    mg.zeros(0, 3)  c.data  x0[[0, 0, 1, 2]]  mg.randn(8, 3)[::2]  x1.view(4, 3)
""")
ARGUMENTS = {
    "z": TENSORS,
    "y": pieces("y  y  y  y1  y.clone()"),
    "k": pieces("1  2  True"),
    "j": pieces("n  mg.tensor(2)"),
    "pair": pieces("(x0, x1)  [x1, x0]  Pair(x0, c)  (x1, x1)  (c, x0)  {0: x0, 1: x1}"),
}

# What happens between calls

OF_TENSORS = pieces("""
    x0.mul_(2)  c.add_(1)  c = mg.randn(4, 3)  x1 = x0  c[0] = 0.5  x0[1] = c[1]  n.fill_(2)
    i.copy_(mg.tensor([1, 1, 0, 3]))  i = mg.tensor([3, 2, 1, 0])  n = mg.tensor(2)  p.mul_(2)
    p = mg.rand(3) + 1  c.data = mg.randn(4, 3)  w.data.mul_(0.5)  w.data = mg.randn(3, 3)
    v.requires_grad_()  w.requires_grad_()  w.requires_grad_(False)  y.copy_(y1)  y[0] = 7  y[0] = 1
    mg.manual_seed(7)  gen.manual_seed(3)  gen = mg.Generator().manual_seed(9)  mg.rand(3)
    x0 = mg.randn(4, 3)  other = c[1:]  w = mg.randn(3, 3)  w = w.clone().detach()
    with mg.no_grad(): w.add_(1)  c = c.detach()  v = mg.randn(3).requires_grad_()  c.array[0] = 2
    x0.requires_grad_()  x0 = x0.detach()  c = x0  c = x0[:]  x1 = c.view(4, 3)  c = c.flip(0)
    scale = {number}  scale = {number}  scale = {number}  GAIN = {number}  GAIN = {number}
    bag['k'] = {number}  bag['w'] = mg.randn(3)  bag['w'].add_(1)  bag = {{**bag, 'k': {number}}}
    bag['list'].append(mg.ones(3))  bag['list'][0] = mg.ones(3)
    bag['list'].pop() if bag['list'][1:] else 0
    later[0] = lambda t: t * {number}  helper = lambda t: t * {number}
    defaults.__defaults__ = ({number},)
    bag['w'] = c[1]  later.clear()
    c = mg.from_numpy(x0.numpy())  x1 = mg.from_numpy(c.numpy()[:])  bag = copy.deepcopy(bag)
""")
OF_RESULTS = pieces("""
    {r}.add_(1)  {r}.zero_()  {r}[...] = 2  {r}.data[...] = 3  x1 = {r}  part = {r}[:1]  {n} = None
""")
OF_GRADIENTS = pieces("""
    {q}.grad = None  {q}.grad = mg.ones_like({q})  {q}.grad.zero_()  {q}.grad.mul_(2)
    model.zero_grad()  model.zero_grad(); {q}.grad = mg.ones_like({q})  {q}.grad[0] = 1
    {q}.grad = {q}.grad.clone()  model.zero_grad(set_to_none=False)
""")
# An event that binds a name, and one that needs it
STARTED = {
    "graph": ("graph = (c * w[0]).sum()", "graph.backward()"),
    "root": ("root = mg.ones(3, requires_grad=True); tail = (x0 * root).sum() + (c * root).sum()",
             "tail.backward()"),
    "state": ("state = gen.get_state()", "gen.set_state(state)"),
    "held": ("held = w.grad", "w.grad = held"),
    "drawn": ("drawn = mg.random.default_generator.get_state()",
              "mg.random.default_generator.set_state(drawn)"),
}  # fmt: skip
OF_MODEL = pieces("""
    model.eval()  model.train()  {m}.eval()  {m} = nn.Tanh()  model.append(nn.Tanh())  model.float()
    model.double(); x0 = x0.double()  model.requires_grad_()  del {m}  model = copy.deepcopy(model)
    model.requires_grad_(False); model[0].requires_grad_()  {m}.forward = lambda t: t * 2
    model.load_state_dict({{q: t * 0.5 for q, t in model.state_dict().items()}})
    model.insert(1, nn.Sigmoid())  model = nn.Sequential(nn.Linear(3, 3))  {m}.train()
""")
OF_LAYER = {
    "nn.Linear": pieces("""
        {m}.weight = nn.Parameter(mg.randn(3, 3))  {m}.weight.data = mg.randn(3, 3)  {m}.bias = None
        {m}.weight.requires_grad_(False)  {m}.weight.requires_grad_()  {m}.weight.data[0] = 1
        with mg.no_grad(): {m}.weight.mul_(0.5)  {m}.bias = nn.Parameter(mg.ones(3))
        {m}.weight = w if isinstance(w, nn.Parameter) else nn.Parameter(w)
    """),
    "nn.Dropout": pieces("{m}.p = 0.0  {m}.p = 0.8  {m}.p = 1.0  {m}.p = 0.4"),
    "nn.BatchNorm1d": pieces("""
        {m}.running_mean = mg.ones(3)  {m}.eps = 0.1  {m}.running_var.fill_(2)  {m}.momentum = 0.5
        {m}.running_mean.data = mg.zeros(3)  {m}.track_running_stats = False  {m}.momentum = None
        {m}.reset_running_stats()  {m}.weight = None  {m}.num_batches_tracked.zero_()
    """),
    "nn.LayerNorm": pieces("{m}.eps = 0.5  {m}.weight = None  {m}.bias.data.add_(1)"),
    "nn.LeakyReLU": pieces("{m}.negative_slope = {number}"),
    "nn.ELU": pieces("{m}.alpha = {number}"),
    "nn.Softplus": pieces("{m}.beta = 0.5  {m}.beta = 2"),
    "Net": pieces("""
        {m}.gain = {number}  {m}.seen = mg.ones(3)  {m}.last = mg.ones(3)  {m}.seen.add_(1)
        {m}.tables[0].add_(1)  {m}.last = None  {m}.weight = nn.Parameter(mg.eye(3))
    """),
}
OF_CRITERION = pieces("""
    criterion.weight = mg.rand(3) + 1  criterion.weight = None  criterion.weight.mul_(2)
    criterion.reduction = 'sum'  criterion.ignore_index = 0  criterion.label_smoothing = 0.2
    criterion = nn.CrossEntropyLoss()
""")
OF_OPTIMIZER = pieces("""
    {g}['lr'] = 0.05  {g}['lr'] = 0.0  {g}['weight_decay'] = 0.1  {g}['momentum'] = 0.5
    {g}['betas'] = (0.5, 0.6)  {g}['decay'] = 0.1  {g}['lr'] = 0.2
    opt.add_param_group({{'params': [nn.Parameter(mg.ones(2))]}})
    opt.add_param_group({{'params': [w], 'lr': 0.5}})  opt.add_param_group({{'params': [v]}})
    opt.load_state_dict(saved)  saved = copy.deepcopy(opt.state_dict())  opt.zero_grad()
    opt.step()  opt.state.clear()  opt = mg.optim.SGD(model.parameters(), lr=0.3)
    opt.state[{g}['params'][0]]['momentum_buffer'] = mg.ones_like({g}['params'][0])
    {g}['lr'] = mg.tensor(0.05)  {g}['maximize'] = True  {g}['amsgrad'] = True
    {g}['nesterov'] = True
    {g}['params'].pop()  {g}['params'].append(v)  opt.param_groups.pop()  opt = copy.deepcopy(opt)
    opt.param_groups.append(dict({g}, params=[v]))  {g}['params'] = [w]
    opt.param_groups = opt.param_groups[:1]
    {g}['params'][0] = nn.Parameter(mg.ones(3, 3))  opt.state = {{}}
    opt.state[{g}['params'][0]]['exp_avg'].zero_()  saved['param_groups'][0]['lr'] = 0.7
""")
OF_SCHEDULER = pieces("""
    sched.step()  sched.gamma = 0.25  sched.last_epoch = 0
    sched = mg.optim.lr_scheduler.StepLR(opt, 1)
""")
