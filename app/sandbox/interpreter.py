"""Works out what a small Python program gives, over a closed grammar and within limits.

Nothing is handed to Python's own evaluation: names are the program's own or one of the functions
and methods listed here, and steps and sizes are bounded.
"""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

_STEPS = 2_000
_LONGEST = 1_000
_LARGEST = 10**12

_Names: TypeAlias = dict[str, object]

_OPERATORS: Mapping[type[ast.AST], Callable[..., object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: lambda left, right: left * operator.index(right),
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, container: item in container,
}
_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "abs": abs,
    "len": len,
    "max": max,
    "min": min,
    "range": lambda *bounds: list(range(*bounds)[:_LONGEST]),
    "sorted": sorted,
    "sum": sum,
}
_METHODS: Mapping[str, Callable[..., object]] = {
    "append": list.append,
    "count": lambda text, *found: text.count(*found),
    "find": str.find,
    "lower": str.lower,
    "replace": str.replace,
    "upper": str.upper,
}


def outcome(program: ast.Module) -> object:
    """The value of the program's last line, an expression: a whole number, a text or a list.

    Errors: ValueError for whatever is outside the grammar, fails, or goes on for too long.
    """
    *definitions, last = program.body
    functions = {d.name: d for d in definitions if isinstance(d, ast.FunctionDef)}
    if not isinstance(last, ast.Expr) or len(functions) < len(definitions):
        raise ValueError("not functions and an expression")
    try:
        return _Machine(functions).value(last.value, {})
    except (TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as exc:
        raise ValueError(f"the program fails: {type(exc).__name__}") from exc


def parse(source: str) -> ast.Module:
    """The program; errors: ValueError where it is not Python, or has nothing to give."""
    try:
        program = ast.parse(source)
    except (SyntaxError, RecursionError, MemoryError) as exc:
        raise ValueError("not Python") from exc
    if not program.body:
        raise ValueError("an empty program")
    return program


class _Returned(Exception):  # noqa: N818 - a way out of nested statements, not an error
    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


class _Machine:
    def __init__(self, functions: Mapping[str, ast.FunctionDef]) -> None:
        self._functions = functions
        self._steps = 0

    def value(self, node: ast.expr, names: _Names) -> object:
        """The expression's value. Errors: ValueError, and Python's own for a wrong operation."""
        self._step()
        value: object
        match node:
            case ast.Constant(value=int() | str() as constant):
                value = constant
            case ast.Name(id=name) if name in names:
                value = names[name]
            case ast.List(elts=elements):
                value = [self.value(element, names) for element in elements]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = -self._whole(operand, names)
            case ast.BinOp(left=left, op=op, right=right):
                value = self._operate(op, self.value(left, names), self.value(right, names))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                value = self._operate(op, self.value(left, names), self.value(right, names))
            case ast.Subscript(value=container, slice=index):
                value = self._item(self.value(container, names), index, names)
            case ast.Call(func=function, args=arguments, keywords=[]):
                value = self._call(function, [self.value(a, names) for a in arguments], names)
            case _:
                raise ValueError(f"{type(node).__name__} is not known here")
        return value

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _STEPS:
            raise ValueError("too many steps")

    def _operate(self, op: ast.AST, left: object, right: object) -> object:
        if type(op) not in _OPERATORS:
            raise ValueError(f"{type(op).__name__} is not known here")
        if isinstance(op, ast.Mult | ast.Mod) and not isinstance(left, int):
            raise TypeError("only numbers are multiplied and divided")
        return _bounded(_OPERATORS[type(op)](left, right))

    def _item(self, container: object, index: ast.expr, names: _Names) -> object:
        if not isinstance(container, str | list):
            raise TypeError("only texts and lists have items")
        if not isinstance(index, ast.Slice):
            return container[self._whole(index, names)]
        first, end, step = (
            None if bound is None else self._whole(bound, names)
            for bound in (index.lower, index.upper, index.step)
        )
        return container[first:end:step]

    def _whole(self, node: ast.expr, names: _Names) -> int:
        value = self.value(node, names)
        if not isinstance(value, int):
            raise TypeError("not a whole number")
        return value

    def _call(self, function: ast.expr, arguments: list[object], names: _Names) -> object:
        match function:
            case ast.Name(id=name) if name in self._functions:
                return self._run(self._functions[name], arguments)
            case ast.Name(id=name) if name in _FUNCTIONS:
                return _bounded(_FUNCTIONS[name](*arguments))
            case ast.Attribute(value=owner, attr=name) if name in _METHODS:
                return _bounded(_METHODS[name](self.value(owner, names), *arguments))
            case _:
                raise ValueError("this function is not known here")

    def _run(self, function: ast.FunctionDef, arguments: list[object]) -> object:
        parameters = [parameter.arg for parameter in function.args.args]
        names: _Names = dict(zip(parameters, arguments, strict=True))
        try:
            self._do(function.body, names)
        except _Returned as returned:
            return returned.value
        raise ValueError("the function returns nothing")

    def _do(self, statements: Iterable[ast.stmt], names: _Names) -> None:
        for statement in statements:
            self._step()
            match statement:
                case ast.Return(value=ast.expr() as value):
                    raise _Returned(self.value(value, names))
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    names[name] = self.value(value, names)
                case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                    names[name] = self._operate(op, names[name], self.value(value, names))
                case ast.If(test=test, body=body, orelse=other):
                    self._do(body if self.value(test, names) else other, names)
                case ast.While(test=test, body=body, orelse=[]):
                    while self.value(test, names):
                        self._do(body, names)
                case ast.For(target=ast.Name(id=name), iter=items, body=body, orelse=[]):
                    self._loop(name, self.value(items, names), body, names)
                case ast.Expr(value=value):
                    self.value(value, names)
                case _:
                    raise ValueError(f"{type(statement).__name__} is not known here")

    def _loop(self, name: str, items: object, body: list[ast.stmt], names: _Names) -> None:
        if not isinstance(items, str | list):
            raise TypeError("only texts and lists are gone through")
        for item in list(items):
            names[name] = item
            self._do(body, names)


def _bounded(value: object) -> object:
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError("too large a number")
    if isinstance(value, str | list) and len(value) > _LONGEST:
        raise ValueError("too long a text or list")
    return value
