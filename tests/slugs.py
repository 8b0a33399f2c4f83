"""Every short name that the code can give to what goes wrong, found by following the code; what cannot be followed
is an error of its own, so that no name hides."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

_NAMES: Final = frozenset({"slug", "stop_reason", "error_code"})
"""What carries a short name: keywords and parameters of these names, wherever they stand."""
_CODED: Final = frozenset({"fail", "_fail", "Outcome"})
"""What takes one as `code`; elsewhere that is a service's word, or a command's number."""
_HELD: Final = frozenset({*_NAMES, "code", "stop_slug", "stopped", "stop"})
"""Attributes that hold one that was given elsewhere."""
_ASSIGNED: Final = frozenset({"slug", "stop_slug"})
_TABLES: Final = frozenset({"_ADVICE", "SIGNALLED"})
"""Tables whose keys are short names."""
_WORD: Final = re.compile(r"[a-z]+(?:_[a-z]+)*")

Function = ast.FunctionDef | ast.AsyncFunctionDef
_SIMPLE: Final = (ast.Constant, ast.IfExp, ast.BoolOp, ast.NamedExpr, ast.Await, ast.GeneratorExp)


@dataclass(frozen=True, slots=True)
class _Scope:
    file: str
    module: ast.Module
    functions: tuple[Function, ...] = ()


@dataclass(slots=True)
class Walk:
    """What was found, and where the walk did not know how to go on."""

    found: dict[str, str] = field(default_factory=dict)
    """Short name → where it is given."""
    unseen: list[str] = field(default_factory=list)


def walked(root: Path) -> Walk:
    """The short names in every file below a package."""
    modules = {
        path.relative_to(root.parent).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(root.rglob("*.py"))
    }
    return _Walker(modules).walk()


class _Walker:
    def __init__(self, modules: Mapping[str, ast.Module]) -> None:
        self._modules = modules
        self._walk = Walk()
        self._made: list[ast.expr] = []
        self._followed: set[tuple[int, int | None]] = set()
        self._by_name: dict[str, list[tuple[_Scope, Function]]] = {}
        for name, module in modules.items():
            for scope, node in _nodes(_Scope(name, module), module):
                if isinstance(node, Function):
                    self._by_name.setdefault(node.name, []).append((scope, node))

    def walk(self) -> Walk:
        for name, module in self._modules.items():
            for scope, node in _nodes(_Scope(name, module), module):
                inner = _Scope(name, module, (*scope.functions, node)) if isinstance(node, Function) else scope
                for expression in self._given(node):
                    self._follow(expression, inner)
        return self._walk

    def _given(self, node: ast.AST) -> Iterator[ast.expr]:
        """The expressions in a node that become a short name."""
        match node:
            case ast.Call(func=func, args=args, keywords=keywords):
                names = {*_NAMES, "code"} if _called(func) in _CODED else _NAMES
                yield from (each.value for each in keywords if each.arg in names)
                yield from self._positional(_called(func), args)
            case ast.Assign(targets=targets, value=value) if any(map(_is_held, targets)):
                yield value
            case ast.AnnAssign(target=target, value=ast.expr() as value) if _is_held(target):
                yield value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict(keys=keys)) if name in _TABLES:
                yield from (key for key in keys if key is not None)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name.endswith("slug"):
                yield from _answers(node)
            case ast.Constant(value=str(text)):
                for word in re.findall(r"error_code = '(\w+)'", text):
                    made = ast.copy_location(ast.Constant(word), node)
                    self._made.append(made)  # kept, so that no other node ever has its identity
                    yield made
            case _:
                return

    def _positional(self, called: str | None, args: list[ast.expr]) -> Iterator[ast.expr]:
        """Arguments without a name, for parameters that have one of ours."""
        for _, function in self._by_name.get(called or "", ()):
            names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
            offset = int(bool(names) and names[0] in ("self", "cls"))
            for index, value in enumerate(args):
                if index + offset < len(names) and names[index + offset] in _NAMES and _is_plain(value):
                    yield value

    def _follow(self, node: ast.expr, scope: _Scope, element: int | None = None) -> None:
        """Note the short names that an expression may be; `element`: of the tuple that it is."""
        if (id(node), element) in self._followed:
            return
        self._followed.add((id(node), element))
        for part in _parts(node):
            self._follow(part, scope, element)
        match node:
            case ast.Tuple(elts=elements) if element is not None:
                self._follow(elements[element], scope)
            case ast.Constant(value=str(word)):
                self._note(word, node, scope)
            case ast.Name(id=name):
                self._name(name, node, scope, element)
            case ast.Subscript(value=ast.Name(id=table)) if not _is_passed_on(node):
                self._table(table, node, scope)
            case ast.Call():
                self._call(node, scope, element)
            case _ if not isinstance(node, _SIMPLE) and not _is_passed_on(node):
                self._unseen(node, scope)

    def _call(self, node: ast.Call, scope: _Scope, element: int | None) -> None:
        name = _called(node.func)
        if name == "get":
            for default in node.args[1:]:
                self._follow(default, scope)
        near = [each for each in self._by_name.get(name or "", ()) if _is_near(each[0], scope, name)]
        if any(isinstance(each, ast.Constant) and each.value in _HELD for each in node.args):
            return
        if name == "get" and isinstance(node.func, ast.Attribute):
            self._looked_up(node.func.value, node, scope, element)
        elif name == "next":
            for each in node.args:
                self._follow(each, scope, element)
        elif near:
            for its, function in near:
                inner = _Scope(its.file, its.module, (*its.functions, function))
                for value in _answers(function):
                    self._follow(value, inner, element)
        else:
            self._unseen(node, scope)

    def _looked_up(self, table: ast.expr, node: ast.Call, scope: _Scope, element: int | None) -> None:
        """What stands in a table that is asked by `get`."""
        if isinstance(table, ast.Dict):
            for value in table.values:
                self._follow(value, scope, element)
        else:
            self._table(table.id if isinstance(table, ast.Name) else "?", node, scope, element)

    def _name(self, name: str, node: ast.expr, scope: _Scope, element: int | None) -> None:
        """A name: what is assigned to it in its function or its module; a parameter is given by who calls."""
        for function in reversed(scope.functions):
            values = list(_assigned(name, function))
            if any(name == each.arg for each in _parameters(function)):
                if name not in _HELD and not values:
                    self._unseen(node, scope)
                for value, place in values:
                    self._follow(value, scope, place if element is None else element)
                return
            looped = list(_looped(name, function))
            for table, place in looped:
                self._rows(table, place, scope)
            for value, place in values:
                self._follow(value, scope, place if element is None else element)
            if values or looped:
                return
        values = list(_assigned(name, scope.module))
        for value, place in values:
            self._follow(value, scope, place if element is None else element)
        if not values:
            self._unseen(node, scope)

    def _table(self, name: str, node: ast.expr, scope: _Scope, element: int | None = None) -> None:
        """What stands in a table of the module, or of the one it is imported from."""
        places = [*(each for each in reversed(scope.functions)), scope.module]
        values = [value for place in places for value, _ in _assigned(name, place)]
        if not values:
            values = [value for module in self._modules.values() for value, _ in _assigned(name, module)]
        tables = [value for value in values if isinstance(value, ast.Dict)]
        for table in tables:
            for value in table.values:
                self._follow(value, scope, element)
        if not tables:
            self._unseen(node, scope)

    def _rows(self, table: ast.expr, place: int | None, scope: _Scope) -> None:
        """What a loop goes through: the column of a table, or the keys or values of a mapping."""
        match table:
            case ast.Tuple(elts=rows) | ast.List(elts=rows):
                for row in rows:
                    self._follow(row, scope, place)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="items")):
                found = [each for part in (*scope.functions, scope.module) for each, _ in _assigned(name, part)]
                sides = [each.values if place else each.keys for each in found if isinstance(each, ast.Dict)]
                for each in chain.from_iterable(sides):
                    self._follow(each or ast.Constant(None), scope)
                if not sides:
                    self._unseen(table, scope)
            case ast.Name(id=name):
                for each, _ in _assigned(name, scope.module):
                    self._rows(each, place, scope)
            case _:
                self._unseen(table, scope)

    def _note(self, word: str, node: ast.AST, scope: _Scope) -> None:
        if _WORD.fullmatch(word):
            self._walk.found.setdefault(word, f"{scope.file}:{getattr(node, 'lineno', 0)}")
        elif word:
            self._unseen(node, scope)

    def _unseen(self, node: ast.AST, scope: _Scope) -> None:
        self._walk.unseen.append(f"{scope.file}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)}")


def _nodes(scope: _Scope, node: ast.AST) -> Iterator[tuple[_Scope, ast.AST]]:
    """Every node below one, with the functions around it."""
    for child in ast.iter_child_nodes(node):
        yield scope, child
        inner = _Scope(scope.file, scope.module, (*scope.functions, child)) if isinstance(child, Function) else scope
        yield from _nodes(inner, child)


def _parts(node: ast.expr) -> list[ast.expr]:
    """The expressions one of which another one is."""
    match node:
        case ast.IfExp(body=one, orelse=other):
            return [one, other]
        case ast.BoolOp(values=values):
            return values
        case ast.NamedExpr(value=value) | ast.Await(value=value) | ast.GeneratorExp(elt=value):
            return [value]
        case _:
            return []


def _is_passed_on(node: ast.expr) -> bool:
    """Whether it is a short name that was given elsewhere."""
    match node:
        case ast.Attribute(attr=held) | ast.Subscript(slice=ast.Constant(value=str(held))):
            return held in _HELD
        case _:
            return False


def _answers(function: Function) -> list[ast.expr]:
    return [each.value for each in _returns(function) if each.value is not None]


def _is_plain(value: ast.expr) -> bool:
    """Whether an argument could be a short name: a function of that name may be another one."""
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str) and _WORD.fullmatch(value.value) is not None
    return isinstance(value, ast.IfExp | ast.BoolOp)


def _is_near(its: _Scope, scope: _Scope, name: str | None) -> bool:
    """Whether a function of that name is the one that is called: of the same file, or named for what it answers."""
    return its.file == scope.file or "slug" in (name or "")


def _called(func: ast.expr) -> str | None:
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else None


def _is_held(target: ast.expr) -> bool:
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _ASSIGNED
        case _:
            return False


def _returns(function: Function) -> Iterator[ast.Return]:
    """Those of the function itself, not of functions in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Return):
            yield node
        elif not isinstance(node, Function | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _parameters(function: Function) -> list[ast.arg]:
    every = function.args
    return [*every.posonlyargs, *every.args, *every.kwonlyargs]


def _assigned(name: str, within: ast.AST) -> Iterator[tuple[ast.expr, int | None]]:
    """What a name is set to, and which element of it where it is one of several."""
    for node in (
        ast.walk(within) if isinstance(within, Function) else within.body if isinstance(within, ast.Module) else ()
    ):
        match node:
            case ast.Assign(targets=[ast.Name(id=own)], value=value) if own == name:
                yield value, None
            case ast.Assign(targets=[ast.Tuple(elts=elements)], value=value):
                for place, each in enumerate(elements):
                    if isinstance(each, ast.Name) and each.id == name:
                        yield value, place
            case ast.AnnAssign(target=ast.Name(id=own), value=ast.expr() as value) if own == name:
                yield value, None
            case ast.NamedExpr(target=ast.Name(id=own), value=value) if own == name:
                yield value, None
            case _:
                continue


def _looped(name: str, within: Function) -> Iterator[tuple[ast.expr, int | None]]:
    """What a name goes through in loops, and which element of each row it is."""
    for node in ast.walk(within):
        if isinstance(node, ast.For | ast.comprehension):
            if isinstance(node.target, ast.Name) and node.target.id == name:
                yield node.iter, None
            if isinstance(node.target, ast.Tuple):
                for place, each in enumerate(node.target.elts):
                    if isinstance(each, ast.Name) and each.id == name:
                        yield node.iter, place
