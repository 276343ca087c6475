"""Which room of fatelib imports which: no circles, nothing but what CONTRIBUTING.md allows.

`python tests/test_rooms.py` draws the imports anew into CONTRIBUTING.md.
"""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fatelib"
GUIDE = ROOT / "CONTRIBUTING.md"
DRAWING = re.compile(r"(?<=<!-- imports -->\n```text\n).*?(?=```\n)", re.DOTALL)
# What all families share, and so knows none.
SHARED = [PACKAGE / "transfer.py", PACKAGE / "family.py"]
SHARED += [*(PACKAGE / "sweep").rglob("*.py"), *(PACKAGE / "descent").rglob("*.py")]


def module_of(path):
    """The dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path):
    """The modules of fatelib that a file imports, within functions too."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: import by the whole name"
            wholes = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names = [whole if whole in MODULES else node.module for whole in wholes.values()]
        else:
            continue
        found |= {name for name in names if name.partition(".")[0] == "fatelib"}
    return found


def room_of(module):
    return module.split(".")[1] if "." in module else "fatelib"


GRAPH = {module: imports(path) for module, path in MODULES.items()}


def rooms():
    """Every room -> the other rooms that its modules import."""
    found = {room_of(module): set() for module in GRAPH}
    for module, others in GRAPH.items():
        found[room_of(module)] |= {room_of(other) for other in others} - {room_of(module)}
    return found


def allowed():
    """The table of CONTRIBUTING.md."""
    text = GUIDE.read_text(encoding="utf-8")
    table = re.search(r"^\| room \| may import \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row.strip("|\n").split("|") for row in table[1].splitlines()]
    return {re.findall(r"`(\w+)`", room)[0]: {*re.findall(r"`(\w+)`", may)} for room, may in rows}


def drawing():
    """The rooms, each one step to the right of the deepest that it imports."""
    graph = rooms()
    above = {}  # room -> all that it imports, and what these import
    depth = {}
    for room in TopologicalSorter(graph).static_order():
        above[room] = graph[room].union(*(above[other] for other in graph[room]))
        depth[room] = 1 + max((depth[other] for other in graph[room]), default=-1)
    lines = []
    for room in sorted(graph, key=lambda room: (depth[room], room)):
        repeated = set().union(*(above[other] for other in graph[room]))
        direct = ", ".join(sorted(graph[room] - repeated))
        name = "    " * depth[room] + room
        lines.append(f"{name:<40}imports {direct}" if direct else name)
    return "\n".join(lines) + "\n"


def test_no_module_imports_itself_by_way_of_others():
    # A circle raises and names its modules.
    assert {*TopologicalSorter(GRAPH).static_order()} == {*MODULES}


def test_no_room_imports_itself_by_way_of_others():
    assert {*TopologicalSorter(rooms()).static_order()} == {*rooms()}


def test_imports_are_those_that_the_guide_allows():
    may = allowed()
    assert may.keys() == rooms().keys()
    for module, others in GRAPH.items():
        room = room_of(module)
        more = {other for other in others if room_of(other) not in {room, *may[room]}}
        assert not more, f"{module} imports {more}"


def test_the_guide_allows_no_circles():
    assert {*TopologicalSorter(allowed()).static_order()} == {*allowed()}


def test_only_the_package_itself_imports_by_name():
    for module, path in MODULES.items():
        names = {node.id for node in ast.walk(tree_of(path)) if isinstance(node, ast.Name)}
        assert module == "fatelib" or not names & {"import_module", "__import__"}, module


def test_the_drawing_is_that_of_the_imports():
    assert DRAWING.search(GUIDE.read_text(encoding="utf-8"))[0] == drawing(), (
        "python tests/test_rooms.py draws it anew"
    )


def test_the_tree_of_the_guide_is_there():
    text = GUIDE.read_text(encoding="utf-8")
    tree = re.search(r"^```text\nfatelib/\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]
    named = {*re.findall(r"^[├└]── (\S+)", tree, re.MULTILINE)}
    there = {path.name for path in PACKAGE.glob("*.py")} - {"__main__.py"}
    there |= {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert named == there
    for folder in re.findall(r"^(\w+)/", tree, re.MULTILINE):
        assert (ROOT / folder).is_dir()


def words(path):
    """All words of a source file with the lines they are in, but for comments and docstrings."""
    tree = tree_of(path)
    docs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if id(node) in docs:
            continue
        for _, value in ast.iter_fields(node):
            for word in value if isinstance(value, list) else [value]:
                if isinstance(word, str):
                    yield getattr(node, "lineno", 0), word


def test_what_families_share_knows_none():
    for path in SHARED:
        for line, word in words(path):
            about = word.replace("linear_transfer", "")
            assert not re.search("linear|relu", about, re.IGNORECASE), f"{path}:{line}: {word}"
            assert not word.startswith("singledispatch"), f"{path}:{line}: {word}"
        # What a network is must not be asked for.
        for node in ast.walk(tree_of(path)):
            assert not isinstance(node, ast.Match), f"{path}:{node.lineno}"
            if not isinstance(node, ast.Call):
                continue
            asked, arguments = ast.unparse(node.func), ", ".join(map(ast.unparse, node.args))
            if asked in ("isinstance", "issubclass", "hasattr", "getattr"):
                about = re.search("network|tasks|pretrained", arguments, re.IGNORECASE)
                assert not about, f"{path}:{node.lineno}: {asked}({arguments})"


if __name__ == "__main__":
    drawn = DRAWING.sub(lambda _: drawing(), GUIDE.read_text(encoding="utf-8"), count=1)
    GUIDE.write_text(drawn, encoding="utf-8")
