"""``tasks/utils/`` holds named policies only: values, and conditions of one expression. The rest is the engine's."""

import ast

import pytest

from tests.house.project import ROOT, project_files

POLICIES = ROOT / "tasks" / "utils"
#: What may stand in a policy: names, values, calls of constructors, conditions. No loop in any form.
LOOPS = (ast.For, ast.While, ast.AsyncFor, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)


def algorithms(source: str) -> list[int]:
    """The lines of what is no named policy."""
    found = []
    for node in ast.parse(source).body:
        plain = isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign)
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        loops = any(isinstance(part, LOOPS) for part in ast.walk(node))
        if loops or not (plain or text or is_condition(node)):
            found.append(node.lineno)
    return found


def is_condition(node: ast.stmt) -> bool:
    """A function that only returns one expression."""
    if not isinstance(node, ast.FunctionDef):
        return False
    body = [part for part in node.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
    return len(body) == 1 and isinstance(body[0], ast.Return)


def test_the_policies_of_the_house_are_names_for_values() -> None:
    files = list(project_files(POLICIES, ".py"))
    assert {"retry_policies.py", "error_handlers.py", "monitoring.py"} <= {path.name for path in files}
    assert {str(path): found for path in files if (found := algorithms(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "for x in range(3):\n    pass",
        "WAITS = [2**n for n in range(3)]",
        "WAIT = lambda n: 2**n",
        "class Policy:\n    x = 1",
        "def wait(n):\n    n += 1\n    return n",
        "def wait(n):\n    while n:\n        n -= 1",
        "async def wait(n):\n    return n",
        "print(1)",
    ],
)
def test_an_algorithm_is_seen(source: str) -> None:
    assert algorithms(f'"""A text."""\n\n{source}') == [3]


def test_values_and_conditions_are_let_pass() -> None:
    assert (
        algorithms("import a\nX: int = a.Retry(3, on=(A, B))\ndef may(e):\n    '''T.'''\n    return a(e) or b(e)") == []
    )
