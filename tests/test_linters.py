# SPDX-License-Identifier: Apache-2.0
"""The rules of the house: format, types, shell, layers, names, docstrings, size of files, licence."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
MAX_LINES = 400
LICENCE = "SPDX-License-Identifier: Apache-2.0"
SOURCE_FOLDERS = (".ci", "benchmarks", "bin", "environments", "kadeploy", "postinstall", "tests")
SHELLS = re.compile(rb"#!\s*(/usr)?/bin/(env )?(ba|da)?sh\b")
LOCKS = ("requirements.lock", "requirements-dev.lock")
URL = re.compile(rb"\b(https?|ftp|file)://|--(extra-)?index-url|--find-links")
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
# A docstring that begins so has no noun of the vocabulary.
PRONOUNS = re.compile(
    r"\W*((the|an?)\s+)?(what|where|whether|who(m|se)?|those|how|which|when|that|why|(what|who|where)ever)\b",
    re.IGNORECASE,
)
INSTALLERS = (".ci", "bin", "environments", "pyproject.toml", *LOCKS, "uv.lock")


def sources() -> list[Path]:
    """What was written by hand, in the checkout or about to come into it; not what was built."""
    found = [path for path in CHECKOUT.iterdir() if path.is_file()]
    for folder in SOURCE_FOLDERS:
        found += [path for path in (CHECKOUT / folder).rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(300)


def scripts() -> Iterator[Path]:
    """Files that say in their first line, or by their name, that a program runs them."""
    for path in sources():
        if path.suffix in (".py", ".sh") or head(path).startswith(b"#!"):
            yield path


def shell_scripts() -> list[Path]:
    return [path for path in scripts() if path.suffix == ".sh" or SHELLS.match(head(path))]


def check(*command: str | Path) -> None:
    """Run a linter on the checkout; what it says is the failure."""
    program = shutil.which(str(command[0]), path=f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    assert program, f"{command[0]} is not installed; bin/test installs it"
    done = subprocess.run(
        [program, *map(str, command[1:])], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def relative(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(CHECKOUT)) for path in paths]


def test_ruff() -> None:
    check("ruff", "check")


def test_format() -> None:
    check("ruff", "format", "--check")


@pytest.mark.timeout(600)
def test_types() -> None:
    check("mypy", "--strict")


@pytest.mark.needs("shellcheck")
@pytest.mark.timeout(300)
def test_shellcheck() -> None:
    files = shell_scripts()
    assert CHECKOUT / "bin" / "test" in files
    check("shellcheck", "--external-sources", *files)


def test_dependencies_point_downwards() -> None:
    check("lint-imports")


def test_only_the_store_knows_sql() -> None:
    pattern = re.compile(rb"^\s*(from|import) (sqlalchemy|alembic|sqlite3)\b", re.MULTILINE)
    store = CHECKOUT / "kadeploy" / "store"
    users = [path for path in (CHECKOUT / "kadeploy").rglob("*.py") if pattern.search(path.read_bytes())]
    assert users and relative([path for path in users if store not in path.parents]) == []


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Modules of kadeploy/ by their paths."""
    for path in sorted((CHECKOUT / "kadeploy").rglob("*.py")):
        yield str(path.relative_to(CHECKOUT)), ast.parse(path.read_bytes())


def test_no_two_public_classes_have_one_name() -> None:
    places = defaultdict(list)
    for path, module in modules():
        for statement in module.body:
            if isinstance(statement, ast.ClassDef) and not statement.name.startswith("_"):
                places[statement.name].append(path)
    assert places
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_docstrings_begin_with_a_noun_or_a_verb() -> None:
    found = []
    for path, module in modules():
        for node in ast.walk(module):
            if isinstance(node, Documented) and PRONOUNS.match(ast.get_docstring(node) or ""):
                found.append(f"{path}: {getattr(node, 'name', '')}")
    assert found == []


def test_no_file_runs_away() -> None:
    files = [path for path in sources() if path.suffix == ".py"]
    lengths = {path: len(path.read_bytes().splitlines()) for path in files}
    assert lengths
    assert relative([path for path, lines in lengths.items() if lines > MAX_LINES]) == []


def test_every_source_names_its_licence() -> None:
    files = [path for path in scripts() if path.stat().st_size]
    missing = [path for path in files if LICENCE.encode() not in b"".join(head(path).splitlines()[:2])]
    assert relative(missing) == []


def test_packages_are_named_without_the_place_they_come_from() -> None:
    """They come from where the machine is told to look: a mirror, a proxy, a folder of wheels."""
    files = [path for path in sources() if path.relative_to(CHECKOUT).parts[0] in INSTALLERS]
    assert {CHECKOUT / name for name in LOCKS} <= set(files)
    assert relative([path for path in files if URL.search(path.read_bytes())]) == []
