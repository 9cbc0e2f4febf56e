"""compile: a step plain and compiled, through the same calls and whatever happens between them.

A program is a text: it makes a model, an optimizer, tensors and numbers, defines a step over them,
wraps it (in `mg.compile`, or in nothing) and calls it, with events between the calls. After each
line everything that the program can reach is looked at, bit for bit; the two runs must agree as far
as the compiled one goes. It may end early, by refusing a call: that proves nothing, so programs are
made to be compilable, and a run in which most were refused, or never replayed, is wrong itself.
"""

from __future__ import annotations

import copy
import math
import re
from collections import namedtuple
from contextlib import contextmanager

import numpy as np

import minigrad as mg
from minigrad.generated import define

from . import _pieces as pieces
from ._looking import Picture, compare

SHORT = 100
ENOUGH = 1 / 3  # of the programs must have replayed a step

counts = {"tried": 0, "refused": 0, "replayed": 0}
Pair = namedtuple("Pair", "first second")


def attempt(draw):
    text = Program(draw).text()
    difference, compiled = both(text)
    if difference is not None:
        text = shortened(text)
        raise AssertionError(f"{both(text)[0]}\n\n{text}")
    counts["tried"] += 1
    counts["refused"] += compiled.refused is not None
    counts["replayed"] += compiled.calls > compiled.entered_times
    few = counts["tried"] >= 50 and counts["replayed"] < ENOUGH * counts["tried"]
    assert not few, f"too few programs prove anything: {counts}"


def both(text):
    """(how the compiled run differs from the plain one, or None; the compiled run)."""
    plain, compiled = World(text, lambda function: function), World(text, mg.compile)
    return compare(plain, compiled), compiled


def shortened(text):
    """The program without the lines that it takes not to differ."""
    lines = text.splitlines(keepends=True)
    for length in (8, 3, 2, 1, 3, 1):
        for start in reversed(range(1, len(lines) - length)):
            fewer = "".join(lines[:start] + lines[start + length :])
            try:
                differs = both(fewer)[0] is not None
            except Exception:
                continue
            if differs:
                lines[start : start + length] = []
    return "".join(lines)


# --- running a program, and looking at what it did ------------------------------------------------


class Refused(Exception):
    """The compiled step says that it cannot do what the plain one does."""


class World:
    """One run of a program. `seen`: (line, what could be reached after it) in order."""

    def __init__(self, text, wrap):
        self.seen, self.refused, self.calls, self.entered_times = [], None, 0, 0
        names = {
            "mg": mg, "nn": mg.nn, "F": mg.nn.functional, "np": np, "copy": copy, "wrap": wrap,
            "Pair": Pair, "call": self.call, "first": first, "entered": self.entered,
            "line": self.line,
            "look": self.look, "math": math,
        }  # fmt: skip
        state = mg.random.default_generator.get_state()
        self.raised = None
        try:
            define("program", text, names)()
        except Refused as error:
            self.refused = str(error)
        finally:
            mg.random.default_generator.set_state(state)

    def entered(self):
        self.entered_times += 1

    def call(self, step, *args, **kwargs):
        """What a step gives, outside any graph, as compiled ones do."""
        self.calls += 1
        try:
            return _outside(step(*args, **kwargs), {})
        except Exception as error:
            if str(error).startswith("minigrad.compile"):
                raise Refused(str(error)) from None
            raise

    @contextmanager
    def line(self):
        try:
            yield
            self.raised = None
        except Refused:
            raise
        except Exception as error:
            self.raised = type(error).__name__, re.sub(r"version \d+|\d{9,}", "", str(error))

    def look(self, number, names):
        picture = Picture()
        for name, x in names.items():
            picture.add(name, x)
        picture.add("default generator", mg.random.default_generator)
        picture.facts["raised"] = self.raised
        self.seen.append((number, picture.whole()))


def _outside(x, known):
    if isinstance(x, mg.Tensor):
        return known.setdefault(id(x), x if x.is_leaf else x.detach())
    if isinstance(x, tuple | list):
        parts = [_outside(part, known) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if type(x) is dict:
        return {name: _outside(part, known) for name, part in x.items()}
    return x


def first(x):
    """The first Tensor in what a step gave."""
    if isinstance(x, tuple | list | dict):
        x = next(part for part in (x.values() if type(x) is dict else x) if part is not None)
    return x


# --- writing a program ----------------------------------------------------------------------------


class Program:
    """The text of one program, drawn at random."""

    def __init__(self, draw):
        self.draw, self.pick = draw, draw.choice
        self.trains, self.doubtful = self.maybe(0.6), self.maybe(0.2)
        self.has_options = self.maybe(0.3)
        self.has_model = self.trains or self.maybe(0.3)
        self.has_optimizer = self.trains and self.maybe(0.75)
        self.has_scheduler = self.has_optimizer and self.maybe(0.4)
        self.evaluates = self.has_model and self.maybe(0.3)
        self.layers = ["nn.Linear(3, 3)", *draw.choices(pieces.LAYERS, k=draw.randrange(4))]
        draw.shuffle(self.layers)
        chances = {
            "z": 0.3,
            "y": 1 if self.trains else 0.2,
            "s": 0.4,
            "k": 0.2,
            "j": 0.1,
            "pair": 0.15,
        }
        self.arguments = [name for name, chance in chances.items() if self.maybe(chance)]
        self.numbers = draw.sample(pieces.NUMBERS, 2)  # that are passed
        self.results, self.begun = 0, set()

    def maybe(self, chance=0.5):
        return self.draw.random() < chance

    def text(self):
        body = self.setup() + self.step() + self.evaluate() * self.evaluates
        lines = ["def program():", "    global GAIN", *(f"    {line}" for line in body)]
        for number in range(self.draw.randrange(8, 18)):
            happens = self.event() if number and self.maybe(0.35) else self.call()
            lines += ["    with line():", f"        {happens}"]
            lines += [f"    look({number}, locals())"]
        return "\n".join(lines) + "\n"

    def setup(self):
        pick, seed = self.pick, self.draw.randrange(100)
        lines = [
            f"mg.manual_seed({seed})", f"rng = np.random.default_rng({seed})",
            "gen = mg.Generator().manual_seed(5)", f"scale, nonlocal_ = {pick(pieces.NUMBERS)}, 0",
            "x0, x1, c = mg.randn(4, 3), mg.randn(4, 3), mg.randn(4, 3)", "p = mg.rand(3) + 0.5",
            f"w = mg.randn(3, 3).requires_grad_({self.trains and self.maybe()})", "GAIN = 1.5",
            f"v = mg.randn(3).requires_grad_({self.trains and self.maybe(0.3)})",
            "n, i = mg.tensor(1), mg.tensor([2, 0, 3, 1])",
            "y, y1 = mg.tensor([0, 2, 1, 0]), mg.tensor([1, 0, 2, 2])",
        ]  # fmt: skip
        lines += ["bag, later = {'k': 2, 'w': w[1].detach(), 'list': [x1[0]]}, [mg.tanh]"]
        lines += ["def helper(t): return t * scale if t is not x0 else t"]
        lines += ["def defaults(t, k=0.5): return t * k"]
        if self.doubtful:
            lines += ["data = mg.utils.data", "numbers = data.TensorDataset(mg.arange(4.0))"]
            lines += ["loader = data.DataLoader(numbers, 2, shuffle=True)"]
        if self.maybe(0.3):
            lines += ["view = c[1:]"]
        if self.has_model:
            if "Net()" in self.layers:
                remembers = self.doubtful and self.maybe()
                forward = pick(pieces.REMEMBERING if remembers else pieces.FORWARDS)
                lines += pieces.NET.format(body=forward).splitlines()
            lines += [f"model = nn.Sequential({', '.join(self.layers)})"]
        if self.trains:
            options = ["", "weight=p", "label_smoothing=0.1", "weight=p, reduction='sum'"]
            lines += [f"criterion = nn.CrossEntropyLoss({pick(options)})"]
        if self.has_optimizer:
            parameters = "[*model.parameters()" + ", w" * self.maybe(0.2) + "]"
            if self.maybe(0.15):
                lines += [*pieces.OWN.splitlines(), f"opt = Own({parameters}, 0.1)"]
            else:
                lines += [f"opt = mg.optim.{pick(pieces.OPTIMIZERS).format(p=parameters)}"]
            lines += ["saved = copy.deepcopy(opt.state_dict())"]
        if self.has_scheduler:
            lines += [f"sched = mg.optim.lr_scheduler.{pick(pieces.SCHEDULERS)}"]
        return lines

    # The step

    def step(self):
        names = ["x", "x", "c", *["z"] * ("z" in self.arguments)]
        if "pair" in self.arguments:
            names.append(self.pick(["pair[0]", "pair[1]"]))
        lines = ["entered()", *[self.filled("{of_x}", names)] * self.maybe(0.15)]
        if self.trains:
            clearings = ["opt.zero_grad()", "opt.zero_grad(set_to_none=False)"] * self.has_optimizer
            lines += [self.pick(pieces.CLEARINGS + clearings)]
        lines += [f"h = {self.rows(self.draw.randrange(1, 4), names)}"]
        names += ["h", "h"]
        statements = self.draw.choices(pieces.STATEMENTS, k=self.draw.randrange(3))
        statements += [self.pick(pieces.DOUBTFUL)] * (self.doubtful and self.maybe(0.8))
        lines += [self.filled(statement, names) for statement in statements]
        result = "h.detach()"
        if self.trains:
            result = self.pick(["loss", "loss", "loss.detach()"])
            lines += [f"h = model({self.pick(['h', 'h', 'x'])})"]
            lines += [f"loss = {self.filled(self.pick(pieces.LOSSES), names)}"]
            lines += [self.pick(pieces.BACKWARDS)]
            lines += [self.filled(self.pick(pieces.CLIPS), names)] * self.maybe(0.25)
            if self.has_optimizer and self.maybe(0.9):
                lines += [self.filled("if {s} != 2: ", names) * self.maybe(0.1) + "opt.step()"]
            lines += ["sched.step()"] * (self.has_scheduler and self.maybe())
        lines += [f"return {self.returned(result)}"]
        if any("nonlocal_" in line for line in lines):
            lines.insert(1, "nonlocal nonlocal_")
        decorated = ["@mg.no_grad()"] * (not self.trains and self.maybe(0.2))
        head = f"def step({', '.join(['x', *self.arguments])}):"
        return [*decorated, head, *(f"    {line}" for line in lines), "step = wrap(step)"]

    def evaluate(self):
        result = self.pick(["model(x)", "(model(x).sum(), x)", "model(x) * scale"])
        if self.maybe(0.2):
            return [self.pick(["evaluate = wrap(model)", "evaluate = wrap(model.forward)"])]
        lines = ["entered()", "with mg.no_grad():", f"    return {result}"]
        return ["def evaluate(x):", *(f"    {line}" for line in lines), "evaluate = wrap(evaluate)"]

    def rows(self, depth, names):
        """An expression of shape (4, 3)."""
        if not depth or self.maybe(0.1):
            return self.pick(names)
        unary, options = pieces.UNARY, pieces.OPTIONS if self.has_options else pieces.UNARY
        text = self.pick(self.pick([unary, unary, pieces.BINARY, options]))
        if self.has_model and self.maybe(0.15):
            text = "model({a})"
        return f"({self.filled(text, names, depth - 1)})"

    def filled(self, text, names, depth=1):
        """The text with its fields filled in; see _pieces.py."""
        for field in re.findall(r"{of_(\w)}", text):
            change = self.filled(self.pick(pieces.CHANGES).replace("{t}", field), names)
            text = text.replace(f"{{of_{field}}}", change, 1)
        numbers = ["0.5", "2.0", "-1.0", "scale", "GAIN", *["s"] * 3 * ("s" in self.arguments)]
        integers = ["1", "2", *["k"] * ("k" in self.arguments)]
        if self.has_options:
            integers += ["n", *["j"] * ("j" in self.arguments)]
        fields = {"s": self.pick(numbers), "m": self.pick(integers), "h": "h"}
        fields |= {name: self.rows(depth, names) for name in "ab" if f"{{{name}}}" in text}
        for name, value in fields.items():
            text = text.replace(f"{{{name}}}", value)
        return re.sub(r"{([wvpi])}", r"\1", text)

    def returned(self, result):
        other = self.pick(pieces.RETURNED + self.arguments)
        return self.pick(
            [result] * 3
            + [f"({result}, {other})", f"[{result}, {other}]", f"Pair({result}, {other})", other]
            + [
                f"{{'first': {result}, 'second': {other}}}",
                f"({result}, ({other}, {result}))",
                "None",
            ]
        )

    # Calls, and what happens between them

    def call(self):
        name, given = f"r{self.results}", [self.tensor()]
        if self.evaluates and self.maybe(0.3):
            text = f"with mg.no_grad(): {name} = call(evaluate, {given[0]})"
            self.results += 1
            return text
        else:
            by_keyword = self.maybe(0.2)
            for argument in self.arguments:
                known = self.numbers if argument == "s" else pieces.ARGUMENTS[argument]
                value = self.tensor() if argument == "z" else self.pick(known)
                given.append(f"{argument}={value}" if by_keyword else value)
            text = f"{name} = call(step, {', '.join(given)})"
        self.results += 1
        return "with mg.no_grad(): " * self.maybe(0.03 if self.trains else 0.15) + text

    def tensor(self):
        if self.maybe(0.75):
            return self.pick(pieces.TENSORS)
        if self.results and self.maybe(0.03 if self.trains else 0.3):
            return self.result()
        return self.pick(pieces.RARE_TENSORS)

    def result(self):
        return f"first(r{self.draw.randrange(self.results)})"

    def event(self):
        if self.maybe(0.1):
            return self.started()
        kinds = [pieces.OF_TENSORS, *[pieces.OF_RESULTS] * (self.results > 0)]
        layer = self.draw.randrange(len(self.layers))
        if self.has_model:
            of_layer = pieces.OF_LAYER.get(self.layers[layer].partition("(")[0], [])
            kinds += [pieces.OF_MODEL, of_layer or pieces.OF_MODEL]
        if self.trains:
            kinds += [pieces.OF_GRADIENTS, pieces.OF_CRITERION]
        kinds += [pieces.OF_OPTIMIZER] * 2 * self.has_optimizer
        kinds += [pieces.OF_SCHEDULER] * self.has_scheduler
        text = self.pick(self.pick(kinds))
        if "{" not in text:
            return text
        parameter = self.pick(["w", "v", *["next(model.parameters())"] * 3])
        result = self.result() if self.results else ""
        return text.format(
            r=result, n=result[6:-1], number=self.pick(pieces.NUMBERS),
            m=f"model[{layer}]", q=parameter, g="opt.param_groups[0]",
        )  # fmt: skip

    def started(self):
        name = self.pick(list(pieces.STARTED))
        again = name in self.begun
        self.begun.add(name)
        return pieces.STARTED[name][again]
