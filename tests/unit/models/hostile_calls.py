"""Pickles that run code as soon as a plain loader opens them: by every callable that we know of."""

import io
import marshal
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.unit.models.hostile_assembly import VARIABLE, Call, Canary, built, call, named, pickled
from tests.unit.models.hostile_files import Calls

Make = Callable[[Canary], bytes]

SYSTEM = named("os.system")
LINK = named("sklearn._loss.link.HalfLogitLink")
TREE = named("sklearn.tree._classes.DecisionTreeClassifier")


def _method(name: str, target: Any, *arguments: Any) -> Call:
    """`target.name(*arguments)`, without a dotted name."""
    return call(call(named("operator.methodcaller"), name, *arguments), target)


def _module(name: str) -> Call:
    return call(named("builtins.__import__"), name)


def _npy(canary: Canary) -> Call:
    out = io.BytesIO()
    np.save(out, np.array([Calls(eval, canary.code)], dtype=object), allow_pickle=True)
    return call(named("io.BytesIO"), out.getvalue())


def _stream(canary: Canary) -> Call:
    return call(named("io.BytesIO"), pickled(call(SYSTEM, canary.command)))


def _function(canary: Canary) -> Call:
    code = marshal.dumps(compile(canary.code, "x", "eval"))
    return call(named("types.FunctionType"), call(named("marshal.loads"), code), {"__builtins__": _module("builtins")})


VALUES: dict[str, Callable[[Canary], Any]] = {
    # programs
    "os.system": lambda c: call(SYSTEM, c.command),
    "posix.system": lambda c: call(named("posix.system"), c.command),
    "os.popen": lambda c: _method("read", call(named("os.popen"), c.command)),
    "os.execvp": lambda c: call(named("os.execvp"), "touch", ["touch", str(c.path)]),
    "os.spawnlp": lambda c: call(named("os.spawnlp"), 0, "touch", "touch", str(c.path)),
    "os.posix_spawnp": lambda c: call(
        named("os.waitpid"), call(named("os.posix_spawnp"), "touch", ["touch", str(c.path)], {}), 0
    ),
    "subprocess.call": lambda c: call(named("subprocess.call"), ["touch", str(c.path)]),
    "subprocess.run": lambda c: call(named("subprocess.run"), ["touch", str(c.path)]),
    "subprocess.check_output": lambda c: call(named("subprocess.check_output"), ["touch", str(c.path)]),
    "subprocess.getoutput": lambda c: call(named("subprocess.getoutput"), c.command),
    "subprocess.Popen": lambda c: _method("wait", call(named("subprocess.Popen"), ["touch", str(c.path)])),
    "pty.spawn": lambda c: call(named("pty.spawn"), ["touch", str(c.path)]),
    "webbrowser": lambda c: _method("open", call(named("webbrowser.GenericBrowser"), ["touch", "%s"]), str(c.path)),
    "multiprocessing": lambda c: call(
        named("os.waitpid"),
        call(named("multiprocessing.util.spawnv_passfds"), b"/bin/touch", [b"touch", str(c.path).encode()], ()),
        0,
    ),
    "nt.system": lambda c: call(named("nt.system"), c.command),
    # Python's own ways to run a text
    "builtins.eval": lambda c: call(named("builtins.eval"), c.code),
    "builtins.exec": lambda c: call(named("builtins.exec"), c.code),
    "builtins.compile": lambda c: call(named("builtins.eval"), call(named("builtins.compile"), c.code, "x", "eval")),
    "builtins.__import__": lambda c: call(named("builtins.getattr"), _module("os"), "getpid"),
    "builtins.getattr": lambda c: call(call(named("builtins.getattr"), _module("os"), "system"), c.command),
    "builtins.map": lambda c: call(named("builtins.list"), call(named("builtins.map"), SYSTEM, [c.command])),
    "builtins.open": lambda c: call(named("builtins.open"), str(c.path), "w"),
    "builtins.setattr": lambda c: call(named("builtins.setattr"), TREE, "predict_proba", SYSTEM),
    "builtins.type": lambda c: call(
        call(named("builtins.type"), "T", (), {"__init__": call(named("functools.partial"), SYSTEM, c.command)})
    ),
    "importlib.import_module": lambda c: _method("system", call(named("importlib.import_module"), "os"), c.command),
    "runpy._run_code": lambda c: call(named("runpy._run_code"), c.code, {}),
    "pdb.runeval": lambda c: call(named("pdb.runeval"), "None if " + c.code + " else 0"),
    "timeit.timeit": lambda c: call(named("timeit.timeit"), c.code, "pass", named("time.perf_counter"), 1),
    "timeit.repeat": lambda c: call(named("timeit.main"), ["-n1", "-r1", c.code]),
    "cProfile.run": lambda c: call(named("cProfile.run"), c.code),
    "profile.run": lambda c: call(named("profile.run"), c.code),
    "trace.Trace": lambda c: _method("run", call(named("trace.Trace")), c.code),
    "code.InteractiveInterpreter": lambda c: _method("runsource", call(named("code.InteractiveInterpreter")), c.code),
    "bdb.Bdb": lambda c: _method("runcall", call(named("bdb.Bdb")), SYSTEM, c.command),
    "types.FunctionType": lambda c: call(_function(c)),
    "ctypes.CDLL": lambda c: _method("system", call(named("ctypes.CDLL"), None), c.command.encode()),
    "threading.Thread": lambda c: _method("run", call(named("threading.Thread"), None, SYSTEM, None, (c.command,))),
    "logging.FileHandler": lambda c: call(named("logging.FileHandler"), str(c.path)),
    "tarfile.open": lambda c: call(named("tarfile.open"), str(c.path), "w"),
    "shutil.copyfile": lambda c: call(named("shutil.copyfile"), "/etc/hostname", str(c.path)),
    "urllib.urlretrieve": lambda c: call(named("urllib.request.urlretrieve"), "file:///etc/hostname", str(c.path)),
    "socket.create_connection": lambda c: call(named("socket.create_connection"), ("127.0.0.1", c.port)),
    # ways to call what one has
    "functools.partial": lambda c: call(call(named("functools.partial"), SYSTEM, c.command)),
    "functools.reduce": lambda c: call(named("functools.reduce"), named("builtins.exec"), [c.code, {}]),
    "operator.call": lambda c: call(named("operator.call"), SYSTEM, c.command),
    "operator.methodcaller": lambda c: _method("system", _module("os"), c.command),
    "operator.attrgetter": lambda c: call(call(call(named("operator.attrgetter"), "system"), _module("os")), c.command),
    "operator.itemgetter": lambda c: _method(
        "system", call(call(named("operator.itemgetter"), "os"), named("sys.modules")), c.command
    ),
    "operator.setitem": lambda c: call(named("operator.setitem"), named("os.environ"), VARIABLE, "1"),
    "collections.deque": lambda c: call(named("collections.deque"), call(named("builtins.map"), SYSTEM, [c.command])),
    "itertools.starmap": lambda c: call(
        named("builtins.list"), call(named("itertools.starmap"), SYSTEM, [(c.command,)])
    ),
    # pickles within pickles
    "pickle.loads": lambda c: call(named("pickle.loads"), pickled(call(SYSTEM, c.command))),
    "_pickle.loads": lambda c: call(named("_pickle.loads"), pickled(call(SYSTEM, c.command))),
    "joblib.load": lambda c: call(named("joblib.numpy_pickle.load"), _stream(c)),
    "pandas.read_pickle": lambda c: call(named("pandas.io.pickle.read_pickle"), _stream(c)),
    "numpy.load": lambda c: call(named("numpy.load"), _npy(c), None, True),
    "yaml.unsafe_load": lambda c: call(
        named("yaml.unsafe_load"), f"!!python/object/apply:os.system [{str(c.command)!r}]".replace("\\'", "''")
    ),
    # libraries that the server has
    "numpy.f2py.getlincoef": lambda c: call(named("numpy.f2py.crackfortran.getlincoef"), c.code, {}),
    "numpy.f2py.myeval": lambda c: call(named("numpy.f2py.crackfortran.myeval"), c.code),
    "numpy.testing.runstring": lambda c: call(named("numpy.testing._private.utils.runstring"), c.code, {}),
    "numpy.testing.measure": lambda c: call(named("numpy.testing._private.utils.measure"), c.code),
    "numpy.memmap": lambda c: call(named("numpy.memmap"), str(c.path), "uint8", "w+", 0, (1,)),
    "numpy.fromfile": lambda c: call(named("numpy.fromfile"), "/etc/hostname", "uint8"),
    "joblib.Memory": lambda c: call(named("joblib.memory.Memory"), str(c.path)),
    "joblib.Parallel": lambda c: call(call(named("joblib.parallel.Parallel"), 1), [(SYSTEM, (c.command,), {})]),
    "joblib.BatchedCalls": lambda c: call(
        call(
            named("joblib.parallel.BatchedCalls"),
            [(SYSTEM, (c.command,), {})],
            (call(named("joblib.parallel.SequentialBackend")), 1),
        )
    ),
    "scipy.stats state": lambda c: built(
        named("scipy.stats._continuous_distns.norm_gen"), {"_parse_arg_template": c.code}
    ),
    "scipy.stats frozen": lambda c: built(
        named("scipy.stats._distn_infrastructure.rv_frozen"), {"dist": call(SYSTEM, c.command)}
    ),
    "sklearn.FunctionTransformer": lambda c: built(
        named("sklearn.preprocessing._function_transformer.FunctionTransformer"), {"func": SYSTEM}
    ),
    "sklearn.make_scorer": lambda c: call(named("sklearn.metrics._scorer.make_scorer"), SYSTEM),
    "sklearn._safe_indexing": lambda c: call(named("sklearn.utils._indexing._safe_indexing"), named("sys.modules"), 0),
    "xgboost.Booster": lambda c: _method("save_model", call(named("xgboost.core.Booster")), str(c.path) + ".json"),
    "lightgbm.Booster": lambda c: call(named("lightgbm.basic.Booster"), None, None, "/etc/hostname"),
    "treelite.Model": lambda c: call(named("treelite.model.Model")),
    # Python's own ways to make objects
    "copyreg._reconstructor": lambda c: call(named("copyreg._reconstructor"), TREE, named("builtins.object"), None),
    "copyreg.__newobj__": lambda c: call(
        named("copyreg.__newobj__"), named("numpy.memmap"), str(c.path), "uint8", "w+", 0, (1,)
    ),
    "copyreg.__newobj_ex__": lambda c: call(
        named("copyreg.__newobj_ex__"), named("numpy.memmap"), (str(c.path),), {"mode": "w+", "shape": (1,)}
    ),
}


def _calling(value: Callable[[Canary], Any]) -> Make:
    return lambda canary: pickled(value(canary))


CALLS: dict[str, Make] = {name: _calling(value) for name, value in VALUES.items()}

# Refused like the others, but a plain loader shows no sign: they need another system, a later call, or somebody else's
# registry.
SILENT = frozenset(
    {
        *("nt.system", "builtins.__import__", "builtins.setattr", "pdb.runeval", "numpy.fromfile"),
        *("sklearn.FunctionTransformer", "sklearn.make_scorer", "sklearn._safe_indexing"),
        *("xgboost.Booster", "lightgbm.Booster", "treelite.Model", "copyreg._reconstructor"),
    }
)
