"""Text files from anywhere: JSON and XML, with a sentence for whatever can be wrong with them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat
from xml.sax.saxutils import escape

from napari_localize.core.errors import UserError

_LARGEST_XML = 1 << 28
_DEEPEST = 100
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def load_bytes(path: Path, largest: int | None = None) -> bytes:
    """Return the content of a file.

    Raises
    ------
    UserError
        When it cannot be read, or has more than `largest` bytes.
    """
    try:
        size = path.stat().st_size
        if largest is not None and size > largest:
            raise UserError(f"{path} has {size:,} bytes, but at most {largest:,} are read; split it.")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from error


def load_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    UserError
        When it cannot be read or is not JSON.
    """
    try:
        return json.loads(load_bytes(path).decode("utf-8-sig"))
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply to be an annotation file.") from error
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); export it again.") from error


def load_xml(path: Path) -> ElementTree.Element:
    """Return the root of an XML file; document types, which could define entities, are refused.

    Raises
    ------
    UserError
        When it cannot be read, is not XML, or is no plain annotation file.
    """
    content = load_bytes(path, _LARGEST_XML)
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise UserError(f"{path} is nested too deeply to be an annotation file.")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise UserError(f"{path} defines a document type, which no annotation file needs; remove its DOCTYPE.")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError) as error:
        raise UserError(f"{path} is not valid XML ({error}); export it again.") from error
    return builder.close()


def xml_text(text: str) -> str:
    """Return a text as it stands in XML.

    Raises
    ------
    UserError
        When it has a character that XML cannot hold.
    """
    if _NOT_XML.search(text):
        raise UserError(f"the name {text!r} has a character that XML cannot hold; rename it.")
    return escape(text, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


def short(value: Any) -> str:
    """Show a value in a message; lists and objects from a hostile file can be of any size and depth."""
    text = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= 40 else text[:37] + "..."
