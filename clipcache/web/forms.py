"""What browsers send, read strictly: anything odd is refused in one line."""

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request


async def read_form(request: Request) -> FormData:
    """Return the fields of a form; no files."""
    return await request.form(max_files=0, max_fields=20)


def text(form: FormData, name: str) -> str:
    """Return a field; refuse the request where it is missing."""
    value = form.get(name)
    if not isinstance(value, str):
        raise HTTPException(400, f"the field {name} is missing")
    return value


def number(form: FormData, name: str) -> int:
    """Return a field that holds a whole number; refuse the request otherwise."""
    return whole(text(form, name), name)


def numbers(form: FormData, name: str) -> list[int]:
    """Return a field that holds whole numbers between commas; refuse the request otherwise."""
    return [whole(part, name) for part in text(form, name).split(",")]


def whole(value: str, name: str) -> int:
    """Return the whole number that the field `name` holds; refuse the request otherwise."""
    sign = value.startswith("-")
    digits = value[sign:]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise HTTPException(400, f"the field {name} holds {value[:20]!r}: expected a whole number")
    return int(value)
