# SPDX-License-Identifier: Apache-2.0
"""Timeouts in seconds as numbers or expressions of ``n``, the number of nodes concerned.

Kadeploy3 evaluated such text as a program in its daemon. Here it is parsed by Python's own parser and
only arithmetic on numbers is accepted: ``200+10*n``, ``max(60, 30*log2(n))``.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

MAX_TEXT = 200
MAX_SECONDS = 7 * 24 * 3600.0  # nobody waits for a node for more than a week

_OPERATORS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "ceil": math.ceil,
    "floor": math.floor,
    "sqrt": math.sqrt,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
}
# Python knows 0x10, 1_000 and 1e3 as well, which not everybody reads alike.
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])[0-9.][A-Za-z0-9_.]*")
_PLAIN_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
ALLOWED = "numbers, n, + - * / //, " + " ".join(_FUNCTIONS)


def _evaluate(node: ast.AST, n: int) -> float:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.Name(id="n"):
            return float(n)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(left, n), _evaluate(right, n))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(operand, n))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS and args:
            return _FUNCTIONS[name](*(_evaluate(argument, n) for argument in args))
    raise ValueError(f"only these are allowed: {ALLOWED}")


@lru_cache(maxsize=1024)
def _parse(text: str) -> ast.AST:
    """Parse an expression once: the engine asks for its value at every step of every node."""
    if wrong := next((word for word in _NUMBER.findall(text) if not _PLAIN_NUMBER.fullmatch(word)), None):
        raise ValueError(f"write {wrong} in decimal digits")
    return ast.parse(text.strip(), mode="eval").body


@dataclass(frozen=True, slots=True)
class Expression:
    """Seconds as a function of the number of nodes."""

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > MAX_TEXT:
            raise ValueError(f"a timeout of more than {MAX_TEXT} characters")
        try:
            self.seconds(1)
        except SyntaxError:
            raise ValueError(f"'{self.text}' is no timeout; allowed: {ALLOWED}") from None
        except ValueError as error:
            raise ValueError(f"'{self.text}' is no timeout; {error}") from None

    def seconds(self, n: int) -> float:
        """Seconds for ``n`` nodes; 0 means no timeout of its own."""
        try:
            value = _evaluate(_parse(self.text), n)
        except (TypeError, ZeroDivisionError, OverflowError, RecursionError, MemoryError) as error:
            raise ValueError(str(error)) from None
        if not 0 <= value <= MAX_SECONDS:
            raise ValueError(f"{value:g} s for n={n} is outside 0..{MAX_SECONDS:g}")
        return value

    def __str__(self) -> str:
        return self.text


def _from_yaml(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Expression(str(value))
    return Expression(value) if isinstance(value, str) else value


TimeoutExpression = Annotated[Expression, BeforeValidator(_from_yaml), PlainSerializer(str)]
