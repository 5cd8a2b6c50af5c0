# SPDX-License-Identifier: Apache-2.0
"""The worked examples of docs/developers/extending.md, each carried out on a copy of the tree and tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.worked_examples import Example, StaleExample, read

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
PAGE = "docs/developers/extending.md"
EXAMPLES = read((CHECKOUT / PAGE).read_text())
SOURCES = ("benchmarks", "bin", "docs", "environments", "kadeploy", "postinstall", "tests")


# The page ----------------------------------------------------------------------------------------------


def copy_of_the_tree(target: Path) -> Path:
    """What is in version control or about to come into it, and compiled modules, which save time."""
    target.mkdir()
    half_written = shutil.ignore_patterns("*.pyc.*")  # by tests that run at the same time
    for folder in SOURCES:
        shutil.copytree(CHECKOUT / folder, target / folder, symlinks=True, ignore=half_written)
    for path in (*CHECKOUT.glob("*.md"), CHECKOUT / "pyproject.toml", CHECKOUT / "LICENSE"):
        shutil.copy2(path, target)
    return target


def run(tree: Path, program: str, *arguments: str) -> None:
    """Run a program of the tests' Python in the copy, which comes first; what it says is the failure."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [PROGRAMS / program, *arguments],
        cwd=tree,
        env={**environment, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        command = " ".join([program, *arguments])
        pytest.fail(f"in {tree}: {command}\n{done.stdout}{done.stderr}", pytrace=False)


def apply(examples: Sequence[Example], tree: Path) -> None:
    """Carry examples out, make the tables that follow from them, and look at their style."""
    for example in examples:
        try:
            example.apply(tree, PAGE)
        except StaleExample as stale:
            pytest.fail(str(stale), pytrace=False)
    run(tree, "python", "-m", "tests.unit.vocabulary_tables")
    programs = sorted({path for example in examples for path in example.paths if path.endswith(".py")})
    run(tree, "ruff", "check", "--no-cache", *programs)
    run(tree, "ruff", "format", "--diff", "--no-cache", *programs)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_example(example: Example, tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    apply([example], tree)
    own = {path for path in example.files if path.startswith("tests/")}
    assert own and own <= set(example.tests), "the example names the tests that must pass, its own among them"
    run(tree, "pytest", "-q", "-p", "no:cacheprovider", *example.tests)


@pytest.mark.timeout(300)
def test_the_examples_go_together(tmp_path: Path) -> None:
    """They are well typed and documented, depend on nothing above them, and none prevents another."""
    tree = copy_of_the_tree(tmp_path / "tree")
    apply(EXAMPLES, tree)
    run(tree, "lint-imports", "--no-cache")
    run(tree, "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/test_documentation.py")
    tests = [path for example in EXAMPLES for path in example.files if path.startswith("tests/")]
    run(tree, "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "kadeploy", *tests)


def test_the_page_counts_the_files() -> None:
    rows = re.findall(
        r"^\| (.+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", (CHECKOUT / PAGE).read_text(), re.M
    )
    counted = [(example.title, *map(str, example.count())) for example in EXAMPLES]
    assert rows == counted


# Reading and applying ----------------------------------------------------------------------------------

TEXT = """\
# Page

## A colour

New file `kadeploy/colours/green.py`:

```python
GREEN = 1
```

```diff
+++ kadeploy/colours/all.py
@@
 RED = 0
+GREEN = 1

@@
-LAST = RED
+LAST = GREEN
+++ docs/colours.md
@@
 red
+green
```

```
bin/test tests/unit/test_colours.py \\
    tests/unit/test_documentation.py
```

## No example

```
bin/test
```
"""
COLOURS = "RED = 0\n\nLAST = RED\n"


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """A tree that the example suits."""
    (tmp_path / "kadeploy/colours").mkdir(parents=True)
    (tmp_path / "kadeploy/colours/all.py").write_text(COLOURS)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/colours.md").write_text("red\n")
    return tmp_path


def test_an_example_is_read_and_applied(colours: Path) -> None:
    (example,) = read(TEXT)
    assert example.title == "A colour"
    assert example.tests == ("tests/unit/test_colours.py", "tests/unit/test_documentation.py")
    assert example.count() == (1, 1, 0, 1)
    example.apply(colours, "page.md")
    assert (colours / "kadeploy/colours/green.py").read_text() == "GREEN = 1\n"
    assert (colours / "kadeploy/colours/all.py").read_text() == "RED = 0\nGREEN = 1\n\nLAST = GREEN\n"
    assert (colours / "docs/colours.md").read_text() == "red\ngreen\n"


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("kadeploy/colours/all.py", "RED = 0\n\nLAST = BLUE\n", "page.md:17: .*nowhere(?s:.*)    LAST = RED"),
        ("kadeploy/colours/all.py", COLOURS + COLOURS, "page.md:13: .*in lines 1, 4 in the file"),
        ("kadeploy/colours/all.py", None, "page.md: 'A colour' changes .*all.py, which does not exist"),
        ("kadeploy/colours/green.py", "", "page.md: 'A colour' makes the file .*green.py, which is there"),
    ],
    ids=["gone", "ambiguous", "no-file", "file-is-there"],
)
def test_a_stale_block_is_named(colours: Path, path: str, content: str | None, message: str) -> None:
    if content is None:
        (colours / path).unlink()
    else:
        (colours / path).write_text(content)
    with pytest.raises(StaleExample, match=message):
        read(TEXT)[0].apply(colours, "page.md")
