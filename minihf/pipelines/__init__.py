"""One line from text to answer: `pipeline(task, model=…)`.

Names load the file that defines them when they are first used: `tasks` has the function and the table of tasks, `base` the class
that all tasks share, the others the tasks themselves.
"""
from importlib import import_module
from typing import TYPE_CHECKING

FILES = ("tasks", "base", "text", "tokens", "answers", "writing")


def __getattr__(name):
    for file in FILES:
        module = import_module(f"{__name__}.{file}")
        if name in module.__all__:
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *(n for f in FILES for n in import_module(f"{__name__}.{f}").__all__)})


if TYPE_CHECKING:  # for editors: the same names
    from .answers import *
    from .base import *
    from .tasks import *
    from .text import *
    from .tokens import *
    from .writing import *
