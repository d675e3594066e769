#!/usr/bin/python3
"""A worker that knows no MQTT (`stdin: lines`, `stdout: data`): it answers calls with JSON lines, and its other lines
become entries. A call's payload is arithmetic such as `2 * (3 + 4)`; what `;` separates is answered one part each."""

import ast
import json
import operator
import sys

BINARY = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos}


def value(node):
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        return BINARY[type(node.op)](value(node.left), value(node.right))
    if isinstance(node, ast.UnaryOp) and type(node.op) in UNARY:
        return UNARY[type(node.op)](value(node.operand))
    raise ValueError(f"expected numbers, + - * / and ( ), got {ast.unparse(node)}")


for line in sys.stdin:
    try:
        request = json.loads(line)
        call, terms = request["call"], request.get("payload", "").split(";")
    except (ValueError, TypeError, KeyError):
        continue  # a `send`, or a `cancel`: an answer here is done before that could come
    try:
        results = [str(value(ast.parse(term.strip(), mode="eval").body)) for term in terms]
    except (ArithmeticError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        print(json.dumps({"reply": call, "error": f"{type(error).__name__}: {error}"}), flush=True)
        continue
    for number, result in enumerate(results, 1):
        print(json.dumps({"reply": call, "payload": result, "last": number == len(results)}), flush=True)
    print(json.dumps({"terms": terms, "results": results}), flush=True)
