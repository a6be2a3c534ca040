"""What can be said of an uploaded engine's text without running any of it: problems by line, and which class it is.

Only `ast.parse` sees the text here. It says early and precisely what an author has forgotten; what keeps foreign code
in is the confined child, not this.
"""

import ast
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from engines.contract import CONTRACT
from engines.errors import EngineRefused, Problem

MOST_BYTES = 512 * 1024
MOST_PROBLEMS = 50
LIBRARIES = frozenset({"numpy", "pandas", "pydantic"})
THERE = "the standard library, numpy, pandas, pydantic and engines.contract are"
TEXTS = ("name", "version", "description")


@dataclass(frozen=True, slots=True)
class EngineSource:
    """An engine's text that has passed, the class in it that is the engine, and the models that it names."""

    text: bytes
    class_name: str
    models: tuple[str, ...] = ()


def inspect(text: bytes, most_bytes: int = MOST_BYTES) -> EngineSource:
    """Read an engine's text; raises `EngineRefused` with every problem and its line."""
    if len(text) > most_bytes:
        raise EngineRefused("source", (Problem(None, f"it has {len(text)} bytes; at most {most_bytes} are taken"),))
    tree = _parsed(text)
    problems = [*_imports(tree), *_contract(tree)]
    engines = [node for node in tree.body if isinstance(node, ast.ClassDef) and _decide(node) is not None]
    models: tuple[str, ...] = ()
    if len(engines) == 1:
        problems += _of_class(engines[0])
        models = _models(engines[0], problems)
    else:
        problems.append(_not_one(engines))
    if problems:
        ordered = sorted(problems, key=lambda problem: problem.line or 0)
        raise EngineRefused("source", tuple(ordered[:MOST_PROBLEMS]))
    return EngineSource(text, engines[0].name, models)


def _parsed(text: bytes) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python about the text, such as an odd escape in a string
            return ast.parse(text.decode("utf-8"))
    except SyntaxError as error:
        raise EngineRefused("source", (Problem(error.lineno, f"it is not Python: {error.msg}"),)) from error
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise EngineRefused("source", (Problem(line, "it is not UTF-8 text"),)) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise EngineRefused(
            "source", (Problem(None, f"it cannot be parsed: {error if str(error) else 'it nests too deep'}"),)
        ) from error


def _not_one(engines: list[ast.ClassDef]) -> Problem:
    if not engines:
        return Problem(1, "no class has a method decide(self, given); `cloudoptim engine new` writes a starting file")
    names = ", ".join(node.name for node in engines)
    return Problem(engines[1].lineno, f"one class may have a method decide, and {len(engines)} do: {names}")


def _imports(tree: ast.Module) -> Iterator[Problem]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if node.level == 0 else ["."]
            if names == ["engines"]:
                names = [f"engines.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (Problem(node.lineno, f"imports {name}, which is not there; {THERE}") for name in _missing(names))


def _missing(names: list[str]) -> list[str]:
    roots = sys.stdlib_module_names | LIBRARIES
    return [name for name in names if name != "engines.contract" and name.partition(".")[0] not in roots]


def _contract(tree: ast.Module) -> Iterator[Problem]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "CONTRACT" for t in node.targets):
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            if value != CONTRACT:
                yield Problem(node.lineno, f"it is written for contract {value!r}; this server has contract {CONTRACT}")


def _decide(engine: ast.ClassDef) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    functions = (node for node in engine.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return next((node for node in functions if node.name == "decide"), None)


def _of_class(engine: ast.ClassDef) -> list[Problem]:
    given = dict(_assigned(engine))
    problems = []
    for name in TEXTS:
        value = given.get(name)
        if value is None:
            problems.append(Problem(engine.lineno, f'{engine.name} has no {name}: a line such as {name} = "..."'))
        elif not (isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.strip()):
            problems.append(Problem(value.lineno, f"{name} must be a string literal that is not empty"))
    if "Config" not in given and not any(
        isinstance(node, ast.ClassDef) and node.name == "Config" for node in engine.body
    ):
        problems.append(
            Problem(engine.lineno, f"{engine.name} has no Config: a pydantic model, empty when there is none")
        )
    return problems + list(_of_decide(engine))


def _of_decide(engine: ast.ClassDef) -> Iterator[Problem]:
    decide = _decide(engine)
    assert decide is not None
    if isinstance(decide, ast.AsyncFunctionDef):
        yield Problem(decide.lineno, "decide must be a plain function, not async")
    positional = [*decide.args.posonlyargs, *decide.args.args]
    required = len(positional) - len(decide.args.defaults)
    if (required != 2 and decide.args.vararg is None) or any(default is None for default in decide.args.kw_defaults):
        yield Problem(decide.lineno, "decide takes self and the input, and nothing else: decide(self, given)")


def _models(engine: ast.ClassDef, problems: list[Problem]) -> tuple[str, ...]:
    value = dict(_assigned(engine)).get("models")
    if value is None:
        return ()
    elements = value.elts if isinstance(value, (ast.Tuple, ast.List)) else None
    if elements is None or not all(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in elements):
        problems.append(Problem(value.lineno, 'models must be a tuple of string literals, such as ("my-model:v1",)'))
        return ()
    return tuple(str(e.value) for e in elements if isinstance(e, ast.Constant))


def _assigned(engine: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for node in engine.body:
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
