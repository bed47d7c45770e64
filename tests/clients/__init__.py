"""Programs that tests run as clients of a server or of the proxy."""

import ast
from pathlib import Path


def operator_names() -> list[str]:
    """The operators of datajoint_operators.py, read from its text: importing it would need a DataJoint."""
    source = Path(__file__).with_name("datajoint_operators.py").read_text()
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(mark, ast.Name) and mark.id == "operator" for mark in node.decorator_list)
    ]
