"""Names of TensorRT and pycuda that the adapter touches, read from its source, for a given version.

The adapter annotates every object of theirs that has a name, so the walk knows what `builder.create_network` is:
it follows annotations, takes of each `if hasattr(...)` the branch that the version takes, and notes each attribute.
What comes out of their calls and has attributes of its own must be annotated too, or the walk says so. Nothing here
is a list kept by hand.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Callable, Dict, List, Optional, Set, Tuple

ROOTS = {"tensorrt": "trt", "pycuda.driver": "cuda"}
FOREIGN = "foreign"  # something of theirs that the source does not name the type of
Name = Tuple[str, str]  # ("trt.Builder", "create_network"), ("trt", "Builder")


class Walk:
    """Walks modules; then `needed` are the names that must be there and `probed` those asked for by `hasattr`."""

    def __init__(self, has: Callable[[Name], bool]) -> None:
        self.has = has
        self.needed: Set[Name] = set()
        self.probed: Set[Name] = set()
        self.unclear: List[str] = []
        self._returns: Dict[str, str] = {}
        self._own: Dict[str, str] = {}  # self.X -> its type
        self._file = ""

    def modules(self, paths: List[Path]) -> None:
        trees = [(path.name, ast.parse(path.read_text("utf-8"))) for path in paths]
        for _, tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and node.returns is not None:
                    self._returns[node.name] = _annotated(node.returns)
        for name, tree in trees:
            self._file = name
            for node in ast.walk(tree):
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute) and _is_own(node.target):
                    self._own[node.target.attr] = _annotated(node.annotation)
            self._block(tree.body, {})
            self._own.clear()

    # -- statements ----------------------------------------------------------------------------------------

    def _block(self, body: List[ast.stmt], env: Dict[str, str]) -> bool:
        """Walk statements; True when the block surely leaves its function."""
        return any(self._statement(node, env) for node in body)

    def _statement(self, node: ast.stmt, env: Dict[str, str]) -> bool:
        if isinstance(node, ast.Import):
            env.update({alias.asname or alias.name: ROOTS[alias.name] for alias in node.names if alias.name in ROOTS})
        elif isinstance(node, ast.FunctionDef):
            inner = dict(env)
            for argument in (*node.args.args, *node.args.kwonlyargs):
                inner[argument.arg] = _annotated(argument.annotation) if argument.annotation else ""
            self._block(node.body, inner)
        elif isinstance(node, ast.ClassDef):
            for base in node.bases:
                self.type_of(base, env)
            self._block(node.body, dict(env))
        elif isinstance(node, ast.If):
            return self._if(node, env)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self.type_of(node.value, env)
            if isinstance(node.target, ast.Name):
                env[node.target.id] = _annotated(node.annotation)
        elif isinstance(node, ast.Assign):
            kind = self.type_of(node.value, env)
            for target in node.targets:
                self._bind(target, kind, env)
        elif isinstance(node, ast.For):
            self._bind(node.target, self._item(node.iter, env), env)
            self._block(node.body, env)
        elif isinstance(node, (ast.With, ast.Try)):
            for item in getattr(node, "items", []):
                self.type_of(item.context_expr, env)
            left = self._block(node.body, env)
            for handler in getattr(node, "handlers", []):
                self.type_of(handler.type, env)
                self._block(handler.body, dict(env))
            self._block(getattr(node, "finalbody", []), env)
            return left
        else:
            for child in ast.iter_child_nodes(node):
                self.type_of(child, env)
        return isinstance(node, (ast.Return, ast.Raise))

    def _if(self, node: ast.If, env: Dict[str, str]) -> bool:
        true = self._truth(node.test, env)
        if true is None:
            self.type_of(node.test, env)
            left = self._block(node.body, env)
            return self._block(node.orelse, env) and left and bool(node.orelse)
        return self._block(node.body if true else node.orelse, env)

    def _truth(self, test: ast.expr, env: Dict[str, str]) -> Optional[bool]:
        """What a test by `hasattr` gives in this version; None for any other test."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self._truth(test.operand, env)
            return None if inner is None else not inner
        if isinstance(test, ast.Call) and getattr(test.func, "id", "") == "hasattr":
            kind, name = self.type_of(test.args[0], env), ast.literal_eval(test.args[1])
            if not kind.startswith(("trt", "cuda")):
                self.unclear.append(f"{self._file}:{test.lineno}: hasattr of what?")
            self.probed.add((kind, name))
            return self.has((kind, name))
        return None

    def _bind(self, target: ast.expr, kind: str, env: Dict[str, str]) -> None:
        if isinstance(target, ast.Name):
            env[target.id] = kind
        elif isinstance(target, ast.Tuple):
            for part in target.elts:
                self._bind(part, FOREIGN if kind == FOREIGN else "", env)
        else:
            self.type_of(target, env)

    # -- expressions ---------------------------------------------------------------------------------------

    def type_of(self, node: Optional[ast.AST], env: Dict[str, str]) -> str:
        """ "trt" for the module, "trt.Builder" for the class and its objects, "" for what is not theirs."""
        if node is None:
            return ""
        if isinstance(node, ast.Name):
            return env.get(node.id, "")
        if isinstance(node, ast.Attribute):
            return self._attribute(node, env)
        if isinstance(node, ast.Call):
            return self._call(node, env)
        if isinstance(node, ast.Subscript):
            kind = self.type_of(node.value, env)
            self.type_of(node.slice, env)
            return kind[1:] if kind.startswith("*") else kind
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            inner = dict(env)
            for part in node.generators:
                self._bind(part.target, self._item(part.iter, inner), inner)
                for test in part.ifs:
                    self.type_of(test, inner)
            for each in (getattr(node, name, None) for name in ("elt", "key", "value")):
                self.type_of(each, inner)
            return ""
        for child in ast.iter_child_nodes(node):
            self.type_of(child, env)
        return ""

    def _attribute(self, node: ast.Attribute, env: Dict[str, str]) -> str:
        if _is_own(node) and node.attr in self._own:
            return self._own[node.attr]
        base = self.type_of(node.value, env)
        if base == FOREIGN:
            self.unclear.append(f"{self._file}:{node.lineno}: .{node.attr} of something that wants an annotation")
            return FOREIGN
        if base.startswith("*"):  # a dict or a list of theirs
            return base if node.attr == "values" else ""
        if not base:
            return ""
        self.needed.add((base, node.attr))
        return f"{base}.{node.attr}" if base in ROOTS.values() and node.attr[0].isupper() else FOREIGN

    def _call(self, node: ast.Call, env: Dict[str, str]) -> str:
        if self._truth(node, env) is not None:
            return ""
        kind = self.type_of(node.func, env)
        for each in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.type_of(each, env)
        if kind:
            return kind  # a class gives its object, a dict's `values` its items, any other call who knows what
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return self._returns.get(name, "")

    def _item(self, node: ast.expr, env: Dict[str, str]) -> str:
        kind = self.type_of(node, env)
        return kind[1:] if kind.startswith("*") else kind


def _is_own(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "self"


def _annotated(node: ast.expr) -> str:
    """ "trt.Builder" for it and for Optional of it, "*trt.Builder" for a Dict or List of it, else ""."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ROOTS.values():
        return f"{node.value.id}.{node.attr}"
    if isinstance(node, ast.Subscript):
        names = [_annotated(each) for each in ast.walk(node.slice) if isinstance(each, ast.Attribute)]
        names = [each for each in names if each]
        if names:
            return names[0] if getattr(node.value, "id", "") == "Optional" else "*" + names[0]
    return ""
