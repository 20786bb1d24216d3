"""Holds Protocol/openrpc.json against JSON Schema draft 7 with a validator that is not ours: check-openrpc.py FILE.

Every schema must be one, every reference must lead somewhere, and every example must be valid."""
import json
import sys

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
components = document["components"]
resolver = jsonschema.RefResolver("", document)
checked = 0


def check(schema, *values):
    global checked
    jsonschema.Draft7Validator.check_schema(schema)
    for value in values:
        jsonschema.Draft7Validator(schema, resolver=resolver).validate(value)
    checked += 1


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            resolver.resolve(value["$ref"])
        for inner in value.values():
            references(inner)
    elif isinstance(value, list):
        for inner in value:
            references(inner)


references(document)
for name, definition in components["schemas"].items():
    check(definition)
for error in components["errors"].values():
    check(components["schemas"]["Error"], error)
for method in document["methods"]:
    examples = method.get("examples", [])
    check(method["result"]["schema"], *(example["result"]["value"] for example in examples))
    for parameter in method["params"]:
        given = [value for example in examples for value in example["params"] if value["name"] == parameter["name"]]
        check(parameter["schema"], *(value["value"] for value in given))
for notification in document["x-notifications"]:
    check(notification["params"], *(example["params"] for example in notification["examples"]))
check(components["schemas"]["OpenRPCDocument"], document)
print(checked)
