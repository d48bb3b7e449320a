#!/usr/bin/env python3
"""schema_walks.py TEST_GRAMMAR [N]: random texts by our grammars of schemas are valid by PyPI's jsonschema. A slow target."""
import json
import subprocess
import sys

import jsonschema

SCHEMAS = [
    {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 9}, "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150}},
     "required": ["name"]},
    {"type": "object", "properties": {"ab": {"type": "null"}, "abc": {"type": "boolean"}}, "additionalProperties": {"type": "integer"}},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "items": {"type": "boolean"}, "minItems": 3, "maxItems": 6},
    {"type": "array", "items": {"enum": ["a\"", 1, None, {"x": [1, 2]}]}, "minItems": 2},
    {"type": "number", "minimum": -17, "maximum": 3}, {"type": "number", "maximum": -100}, {"type": "integer", "minimum": -1234, "maximum": 77},
    {"type": "string", "pattern": "^(\\d{2,4}|[^\\W_]+)[\"\\\\x]?\\s?.$"}, {"type": "string", "pattern": "a[b-d]*|^x\\/|q$"},
    {"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}, {"type": "string", "format": "uuid"},
    {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"v": {"type": ["integer", "null"]}, "next": {"anyOf": [
        {"$ref": "#/$defs/tree"}, {"type": "null"}]}}, "required": ["v", "next"], "additionalProperties": False}}},
    {"allOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}]},
    {"type": "object", "properties": {"k": {"const": "x"}}, "required": ["k"], "oneOf": [{"properties": {"p": {"type": "integer"}}, "required": ["p"]},
                                                                                     {"properties": {"q": {"type": "string"}}, "required": ["q"]}]},
    {"type": "object", "required": ["z", "y"], "properties": {"y": {"minLength": 3}}, "additionalProperties": True},
    True,
]


def main():
    bad = total = 0
    for schema in SCHEMAS:
        out = subprocess.run([sys.argv[1], "walk", json.dumps(schema), sys.argv[2] if len(sys.argv) > 2 else "200"], capture_output=True, check=True)
        check = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        for line in out.stdout.decode().split("\n")[:-1]:
            total += 1
            try:
                check.validate(json.loads(line))
            except (ValueError, jsonschema.ValidationError) as e:
                bad += 1
                print(json.dumps(schema), line, str(e).split("\n")[0], sep="\n  ")
    print("%d texts of %d schemas, %d not valid" % (total, len(SCHEMAS), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
