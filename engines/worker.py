"""What runs in an uploaded engine's confined child: it takes one engine's text, and answers for it.

A request is a word, a newline and a body; the answer is JSON (UTF-8):

- `load`, with the class's name, a newline and the file's text, once and before all others:
  `{"engine": Description}` or `{"problems": [[line or null, detail], …]}`;
- `config`, with a config (a JSON object): `{"config": {…}}`, with defaults, or `{"problems": [[path, detail], …]}`;
- `decide`, with a `DecisionInput`: a `DecisionOutput`.

What the engine raises in `decide` comes back as `EngineRaised`, with the line of its file. Whatever comes from here may
have been written by the engine instead: the server takes it as data that must be validated, and capped before that.
"""

import gc
import json
import sys
import traceback
import types
import warnings
from typing import Any

from pydantic import BaseModel, ValidationError

from engines.contract import DecisionInput, DecisionOutput

FILE = "engine.py"
MODULE = "uploaded_engine"
DETAIL_LIMIT = 2000
GARBAGE_BEFORE_A_LOOK = 20_000


class EngineRaised(Exception):
    """The engine raised; the text says what and where."""


class _Loaded:
    """The one engine of this process."""

    engine: Any = None


def answer(request: bytes) -> bytes:
    """Answer one request; see the module's table."""
    word, _, body = request.partition(b"\n")
    if word == b"decide":
        return _decide(body)
    told = _load(body) if word == b"load" else _config(body)
    return json.dumps(told, allow_nan=False).encode()


def _decide(body: bytes) -> bytes:
    given = DecisionInput.model_validate_json(body)
    try:
        output = _Loaded.engine.decide(given)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise EngineRaised(_said(error)) from error
    if not isinstance(output, DecisionOutput):
        raise EngineRaised(f"decide returned a {type(output).__name__}, which is no DecisionOutput")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that do not fit, which the server refuses
        return output.model_dump_json().encode()


def _load(text: bytes) -> dict[str, Any]:
    module = types.ModuleType(MODULE)
    module.__file__ = FILE
    _register(module)
    class_name, _, source = text.partition(b"\n")
    try:
        exec(compile(source, FILE, "exec", dont_inherit=True), module.__dict__)
        engine = getattr(module, class_name.decode())()
        described = _described(engine)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the file raises is its author's to mend
        return {"problems": [[_line(error), _said(error)]]}
    _Loaded.engine = engine
    _settle()
    return {"engine": described}


def _settle() -> None:
    """What is loaded stays: the collector need not walk through pandas at each decision, nor copy its pages."""
    gc.freeze()
    gc.set_threshold(GARBAGE_BEFORE_A_LOOK, 20, 20)


def _register(module: types.ModuleType) -> None:
    """Pydantic looks annotations up in the module that a model's class says it is from."""
    sys.modules[MODULE] = module


def _described(engine: Any) -> dict[str, Any]:
    config = engine.Config
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        raise TypeError("Config is not a pydantic model")
    return {
        "name": str(engine.name),
        "version": str(engine.version),
        "description": str(engine.description),
        "models": [str(name) for name in getattr(engine, "models", ())],
        "config_schema": config.model_json_schema(),
        "config_defaults": config().model_dump(mode="json"),
    }


def _config(body: bytes) -> dict[str, Any]:
    try:
        return {"config": _Loaded.engine.Config.model_validate(json.loads(body)).model_dump(mode="json")}
    except ValidationError as error:
        return {"problems": [[".".join(map(str, e["loc"])) or "config", e["msg"]] for e in error.errors()]}
    except Exception as error:  # noqa: BLE001 - a validator of the author's may raise anything
        return {"problems": [["config", _said(error)]]}


def _said(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    line = _line(error)
    return (f"line {line}: {text}" if line else text)[:DETAIL_LIMIT]


def _line(error: BaseException) -> int | None:
    """The last line of the author's file that the error passed through."""
    if isinstance(error, SyntaxError) and error.filename == FILE:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
    return lines[-1] if lines else None
