"""A batch's parts as Parquet: a row for each scored video, with the same columns in every part."""

import io
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from springboard.cli.said import fail
from springboard.front.schema import Score
from springboard.jobs.batch import Form

# Of the model; the rest of a row is what /openapi.json says of a score.
_MODEL = ("name", "version", "trained_on")
# What no batch asks for.
_NOT = {"strip"}


def parquet() -> Form:
    """Return that form of a part; ends the command where pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        fail("--parquet needs pyarrow, which is not installed here: pip install pyarrow")

    def arrow(kind: Any) -> Any:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return pyarrow.struct([(name, arrow(of.annotation)) for name, of in kind.model_fields.items()])
        if get_origin(kind) is list:
            return pyarrow.list_(arrow(get_args(kind)[0]))
        if get_origin(kind) is dict:
            return pyarrow.struct([(name, pyarrow.string()) for name in _MODEL])
        if rest := [one for one in get_args(kind) if one is not NoneType]:
            return arrow(rest[0])
        return {str: pyarrow.string, int: pyarrow.int64, float: pyarrow.float64, bool: pyarrow.bool_}[kind]()

    columns = {name: arrow(of.annotation) for name, of in Score.model_fields.items() if name not in _NOT}
    schema = pyarrow.schema([("input", pyarrow.string()), *columns.items()])

    def written(rows: list[dict[str, Any]]) -> bytes:
        file = io.BytesIO()
        try:
            table = pyarrow.Table.from_pylist(rows, schema)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            fail(
                f"a result is no score as openapi.json has it ({error}); take --json-lines and another OUTPUT"
            )
        pyarrow.parquet.write_table(table, file, compression="zstd")
        return file.getvalue()

    return Form("parquet", written)
