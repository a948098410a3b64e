"""Reads what a LiteRT file consists of."""

import pathlib
from collections.abc import Iterator

from tensorflow.lite.python import schema_py_generated as schema

NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}


def read_model(file: pathlib.Path) -> schema.ModelT:
    """Return the content of a file."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read_bytes()))


def read_operators(file: pathlib.Path, signature: str) -> Iterator[str]:
    """Yield the kinds of the operations of a signature."""
    model = read_model(file)
    (found,) = (x for x in model.signatureDefs if x.signatureKey.decode() == signature)
    for operator in model.subgraphs[found.subgraphIndex].operators:
        yield NAMES[model.operatorCodes[operator.opcodeIndex].builtinCode]
