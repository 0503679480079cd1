"""A batch's parts as Parquet: a row for each scored video, its columns those of a score in /openapi.json."""

import io
import json
import sys
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from springboard.cli.said import fail
from springboard.front.schema import Score
from springboard.jobs.batch import Form

# What no batch asks for.
_NOT = {"strip"}


def parquet() -> Form:
    """Return that form of a part; ends the command where pyarrow cannot be imported."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        fail(f"--parquet needs pyarrow ({error}): {sys.executable} -m pip install pyarrow")

    def arrow(kind: Any) -> Any:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return pyarrow.struct([(name, arrow(of.annotation)) for name, of in kind.model_fields.items()])
        if get_origin(kind) is list:
            return pyarrow.list_(arrow(get_args(kind)[0]))
        if rest := [one for one in get_args(kind) if one is not NoneType]:
            return arrow(rest[0])
        return {str: pyarrow.string, int: pyarrow.int64, float: pyarrow.float64, bool: pyarrow.bool_}[kind]()

    columns = {name: arrow(of.annotation) for name, of in Score.model_fields.items() if name not in _NOT}
    schema = pyarrow.schema([("input", pyarrow.string()), *columns.items()])

    def row(result: bytes) -> dict[str, Any]:
        told = json.loads(result)
        try:
            Score.model_validate(told, strict=True)
            pyarrow.Table.from_pylist([told], schema)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        except (TypeError, OverflowError) as error:  # an integer, or a text, that Parquet has not
            raise ValueError(str(error)) from error
        return dict(told)

    def written(rows: list[dict[str, Any]]) -> bytes:
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), file, compression="zstd")
        return file.getvalue()

    return Form("parquet", "application/vnd.apache.parquet", row, written)
