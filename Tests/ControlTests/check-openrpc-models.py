"""Holds Protocol/openrpc.json against the OpenRPC specification: check-openrpc-models.py FILE.

The judge is PyPI's package openrpc, whose models are the specification's objects. The document must be what they take,
and nothing in it may be unknown to them: what they give back must be the same. Then it is broken in every way that is
listed below, and the judge must say so each time. Prints how many ways that were."""
import copy
import json
import sys

import pydantic
from openrpc import OpenRPC


def judge(document):
    """What is wrong, or None."""
    # The specification allows extensions, whose names begin with x-, and says nothing of what is in them. Only the
    # document itself has one; the package does not know them.
    document = {key: copy.deepcopy(value) for key, value in document.items() if not key.startswith("x-")}
    # The specification allows references among a method's errors; the package knows errors alone.
    for method in document.get("methods", []):
        for position, error in enumerate(method.get("errors", [])):
            if isinstance(error, dict) and "$ref" in error:
                name = error["$ref"].removeprefix("#/components/errors/")
                if name not in document.get("components", {}).get("errors", {}):
                    return f"{error['$ref']} leads nowhere"
                method["errors"][position] = document["components"]["errors"][name]
    try:
        model = OpenRPC.model_validate(document)
    except pydantic.ValidationError as error:
        return str(error)
    known = json.loads(model.model_dump_json(by_alias=True, exclude_unset=True))
    return difference(document, known, "")


def difference(ours, theirs, path):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if key not in theirs:
                return f"{path}/{key} is nothing of OpenRPC's"
            found = difference(ours.get(key), theirs[key], f"{path}/{key}")
            if found:
                return found
        return None
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs))
        return next((d for d in (difference(a, b, f"{path}/{i}") for i, (a, b) in pairs) if d), None)
    return None if ours == theirs else f"{path}: {ours!r} is taken for {theirs!r}"


def broken(document):
    """The document, broken in one way after the other."""

    def each(change):
        copied = copy.deepcopy(document)
        change(copied)
        return copied

    for key in ("openrpc", "info", "methods"):
        yield f"no {key}", each(lambda d: d.pop(key))
    yield "an extension without x-", each(lambda d: d.update(notifications=d["x-notifications"]))
    for key in ("title", "version"):
        yield f"no info.{key}", each(lambda d: d["info"].pop(key))
    for index, method in enumerate(document["methods"]):
        name = method["name"]
        for key in ("name", "params", "result"):
            yield f"{name} without {key}", each(lambda d: d["methods"][index].pop(key))
        yield f"{name} misspelt", each(lambda d: d["methods"][index].update(sumary="x"))
        yield f"{name} by word", each(lambda d: d["methods"][index].update(paramStructure="by-word"))
        yield f"{name} without a schema", each(lambda d: d["methods"][index]["result"].pop("schema"))
        yield f"{name} with a lost error", each(lambda d: d["methods"][index]["errors"][0].update({"$ref": "#/x"}))
        for example in range(len(method.get("examples", []))):
            yield f"{name} example", each(lambda d: d["methods"][index]["examples"][example].pop("params"))
    for name in document["components"]["errors"]:
        yield f"error {name}", each(lambda d: d["components"]["errors"][name].pop("code"))
        yield f"error {name} coded", each(lambda d: d["components"]["errors"][name].update(code="x"))


with open(sys.argv[1], encoding="utf-8") as file:
    real = json.load(file)
wrong = judge(real)
if wrong:
    sys.exit(f"{sys.argv[1]} is no OpenRPC document: {wrong}")
count = 0
for way, document in broken(real):
    count += 1
    if not judge(document):
        sys.exit(f"the judge is blind: {way}")
print(count)
