"""Holds the program's JSON against docs/output.schema.json, and the schema against documents it must refuse."""

import copy
import json
import subprocess
import sys
import unittest

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed: skipped")
    sys.exit(77)

schema_path, program = sys.argv[1:3]
with open(schema_path, encoding="utf-8") as file:
    schema = json.load(file)
documents = json.loads(subprocess.run([program], check=True, capture_output=True).stdout)
validator = jsonschema.Draft202012Validator(schema)


def objects(node, path=()):
    """Every object of a document with its path, depth first."""
    if isinstance(node, dict):
        yield path, node
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from objects(child, (*path, key))


def shortened(document):
    """One element of every list: enough to break each field once."""
    if isinstance(document, dict):
        return {key: shortened(value) for key, value in document.items()}
    return [shortened(document[-1])] if isinstance(document, list) and document else document


def at(node, path):
    for key in path:
        node = node[key]
    return node


sample = shortened(documents[0])


class Schema(unittest.TestCase):
    def test_is_a_schema(self):
        jsonschema.Draft202012Validator.check_schema(schema)

    def test_accepts_what_the_program_writes(self):
        for document in documents:
            for error in validator.iter_errors(document):
                self.fail(f"{error.json_path}: {error.message}")

    def test_every_field_is_required(self):
        # A document with one field less must be refused, but for the free-form values of provenance and config.
        for path, node in objects(sample):
            if path and path[0] in ("provenance", "config"):
                continue
            for field in node:
                broken = copy.deepcopy(sample)
                del at(broken, path)[field]
                self.assertFalse(validator.is_valid(broken), f"{path} without {field}")

    def test_no_field_may_be_added(self):
        for path, _ in objects(sample):
            if path in (("provenance",), ("config",)):
                continue
            broken = copy.deepcopy(sample)
            at(broken, path)["unknown"] = 1
            self.assertFalse(validator.is_valid(broken), f"{path} with an unknown field")

    def test_times_are_numbers_or_null(self):
        for path, node in objects(sample):
            for field in node:
                if field.endswith("_us") or field.endswith("_ms"):
                    broken = copy.deepcopy(sample)
                    at(broken, path)[field] = "12.5"
                    self.assertFalse(validator.is_valid(broken), f"{path} with a string in {field}")

    def test_wrong_or_unchecked_rows_carry_no_time(self):
        for status in ("wrong data", "unchecked", "predicted"):
            broken = copy.deepcopy(sample)
            broken["rows"][0]["status"] = status
            self.assertFalse(validator.is_valid(broken), status)

    def test_every_field_is_described(self):
        for path, node in objects(schema):
            if path and path[-1] == "properties" and "then" not in path and "else" not in path:
                for field, definition in node.items():
                    self.assertTrue("description" in definition or "$ref" in definition or "const" in definition,
                                    f"{path}: {field}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
