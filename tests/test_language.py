"""The grammar of errors: every sentence says what was found and what is accepted."""

import ast

from tests.support.commands import ROOT

SOURCE = ROOT / "src/featuresharing"

OTHERWISE = {
    "the lines above say": "the lines above are the sentences",
    "the same command goes on": "nothing is wrong with what was given",
    "type the same command again": "a network that is down; the sentence says what to do",
}
"""Sentences that end otherwise, with reasons."""


def literal(node: ast.expr) -> str:
    """Return the text of a sentence, with a name in brackets for what it inserts."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(literal, node.values))
    if isinstance(node, ast.FormattedValue):
        return f"{{{ast.unparse(node.value)}}}"
    if isinstance(node, ast.BinOp):
        return literal(node.left) + literal(node.right)
    return f"{{{ast.unparse(node)}}}"


def sentences() -> dict[str, str]:
    """Return the place and text of all sentences of InputError that are more than what they insert."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("InputError", "argparse.ArgumentTypeError"):
                text = literal(node.args[0])
                passed_on = text.rstrip(".").endswith("}") and "accepted" not in text.lower()
                if not passed_on:
                    found[f"{path.name}:{node.lineno}"] = text
    return found


def test_every_error_says_what_is_accepted() -> None:
    found = sentences()
    assert len(found) > 250
    lacking = {place: text for place, text in found.items() if "accepted" not in text.lower()}
    assert {place: text for place, text in lacking.items() if not any(each in text for each in OTHERWISE)} == {}
