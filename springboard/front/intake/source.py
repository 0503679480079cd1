"""What a body holds: a video, a form with one, or the address of one in S3."""

import asyncio
from email.message import Message
from typing import Any

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError

from model_handler.request.errors import InvalidRequest
from model_handler.request.source import S3Object, parse, pick_field


async def read_source(body: bytes, content_type: str | None) -> bytes | S3Object:
    """Return what the body holds: a video, or where one is in S3. Raises `InvalidRequest` and its kinds."""
    if content_type and content_type.lower().startswith("multipart/"):
        return parse(pick_field(await asyncio.to_thread(_form_fields, body, content_type)))
    return parse(body, content_type)


def _form_fields(body: bytes, content_type: str) -> dict[str, bytes]:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if not boundary:
        raise InvalidRequest("The Content-Type is multipart, but names no boundary.")
    fields: dict[str, bytes] = {}

    def on_field(field: Any) -> None:
        fields[field.field_name.decode(errors="replace")] = field.value or b""

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        fields[file.field_name.decode(errors="replace")] = file.file_object.read()

    try:
        # The body is in memory already: nothing of it goes to disk.
        parser = FormParser(
            "multipart/form-data",
            on_field,
            on_file,
            boundary=boundary.encode(),
            config={"MAX_MEMORY_FILE_SIZE": len(body) + 1},
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidRequest(f"The form cannot be read: {error}") from error
    return fields
