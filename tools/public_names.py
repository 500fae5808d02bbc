"""Write the imports that editors and type checkers read in minihf/__init__.py, from the names that it has when it runs.

    python tools/public_names.py     after a row was added to nbs/families.ipynb
"""
import textwrap
from collections import defaultdict
from pathlib import Path

import minihf

START = "if TYPE_CHECKING:  # for editors: the same names\n"


def block():
    "The imports, by module"
    homes = defaultdict(list)
    for name, module in minihf._HOME.items():
        homes[module].append(name)
    lines = []
    for module, names in sorted(homes.items()):
        line = f"    from .{module} import {', '.join(names)}"
        if len(line) > 88:
            inner = textwrap.fill(", ".join(names) + ",", 88, initial_indent=" " * 8, subsequent_indent=" " * 8)
            line = f"    from .{module} import (\n{inner}\n    )"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main():
    path = Path(minihf.__file__)
    before, _, _ = path.read_text(encoding="utf-8").partition(START)
    path.write_text(before + START + block(), encoding="utf-8")


if __name__ == "__main__":
    main()
