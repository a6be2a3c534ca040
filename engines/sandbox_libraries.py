"""Imported by a zygote for uploaded engines: the compiled modules that they may want, as no code can be mapped later.

A confined child may not make memory executable, so that nothing it writes can run; for the same reason it can load no
extension module. What is written in Python alone it imports as usual.
"""

import importlib
import pkgutil
import sys
from contextlib import suppress
from pathlib import Path

# Of no use without a screen, a terminal or a network, or there for Python's own tests.
LEFT_OUT = ("_test", "_xx", "xx", "_tkinter", "_curses", "readline", "_ctypes_test", "ossaudiodev", "spwd", "nis")
FOLDERS = ("numpy.fft", "numpy.linalg", "numpy.random", "pandas._libs", "pandas._libs.tslibs", "pandas._libs.window")


def _import_all() -> None:
    for found in pkgutil.iter_modules([entry for entry in sys.path if Path(entry).name == "lib-dynload"]):
        _import(found.name)
    for folder in FOLDERS:
        package = importlib.import_module(folder)
        for found in pkgutil.iter_modules(package.__path__):
            _import(f"{folder}.{found.name}")


def _import(name: str) -> None:
    if name.startswith(LEFT_OUT) or name.endswith((".tests", "conftest")):
        return
    with suppress(ImportError):  # what this Python was built without is not there for an engine either
        importlib.import_module(name)


_import_all()
