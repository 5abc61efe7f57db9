"""Slips in reading a program: the program with one small thing read wrongly.

Source: mutation testing's operators (DeMillo, Lipton and Sayward 1978).
"""

import ast
import copy
from collections.abc import Iterator, Mapping

_MISREAD: Mapping[type[ast.AST], type[ast.operator] | type[ast.cmpop]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.FloorDiv: ast.Mod,
    ast.Mod: ast.FloorDiv,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}


def mutants(program: ast.Module) -> Iterator[ast.Module]:
    """Every program that differs in one operator, or in one number by one."""
    for position, node in enumerate(ast.walk(program)):
        if _is_misread(node):
            mutant = copy.deepcopy(program)
            _misread(list(ast.walk(mutant))[position])
            yield mutant


def _is_misread(node: ast.AST) -> bool:
    match node:
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.Compare(ops=[op]):
            return type(op) in _MISREAD
        case ast.Constant(value=int()):
            return True
        case _:
            return False


def _misread(node: ast.AST) -> None:
    match node:
        case ast.BinOp() | ast.AugAssign():
            node.op = _MISREAD[type(node.op)]()  # type: ignore[assignment]
        case ast.Compare():
            node.ops = [_MISREAD[type(node.ops[0])]()]  # type: ignore[list-item]
        case ast.Constant(value=int() as number):
            node.value = number + 1
        case _:
            raise AssertionError("not a node that is misread")
