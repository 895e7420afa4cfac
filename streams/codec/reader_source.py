"""The source code of a reader: straight-line Python that walks over Avro's bytes.

In the code, `b` is the data and `p` the position. Short and common values are read inline; the functions of
`streams.codec.wire` read the rest.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from streams.codec.part_cache import HEAD, SHORT_HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.codec.schemas import Schema


class Source:
    """The lines of one function, each with the record's field that it reads."""

    def __init__(self, named: Callable[[Schema | str], tuple[str, str]]) -> None:
        """`named` returns kind (record or enum) and name of a named type, whose reader then exists."""
        self._named = named
        self._depth = 1
        self._variables = 0
        self.field = ""
        self.lines: list[str] = []
        self.fields: list[str] = []

    def line(self, text: str) -> None:
        """Add a line of code, at the depth of the block that is open."""
        self.lines.append("    " * self._depth + text)
        self.fields.append(self.field)

    def read(self, schema: Any, to: str) -> None:
        """Add lines that read a value of any type into the variable `to`."""
        match schema:
            case ["null", present]:
                self._read_optional(present, to)
            case {"type": "array", "items": items}:
                self._read_array(items, to)
            case {"type": "map", "values": values}:
                self._read_map(values, to)
            case {"logicalType": "timestamp-millis"}:
                self._read_time(to)
            case "string" | "bytes":
                self._read_bytes(to, ".decode()" if schema == "string" else "")
            case "long":
                self._read_long(to)
            case "boolean":
                self._lines(f"{to} = booleans[b[p]]", "p += 1")
            case "double":
                self._lines(f"{to}, = unpack_double(b, p)", "p += 8")
            case _:
                self._read_named(schema, to)

    @contextmanager
    def recalling(self, known: str, values: list[str]) -> Iterator[None]:
        """Add lines that take these variables from the cache if it has the next bytes; else run the lines within.

        `known`: name of the variable that holds a `Known`.
        """
        alike = f"{known}.get(b[p:p + {HEAD}]) or {known}.get(b[p:p + {SHORT_HEAD}], ())"
        with self._block(f"for found in {alike}:"), self._block("if b.startswith(found[0], p):"):
            self._lines(f"_, {', '.join(values)} = found", "p += len(found[0])", "break")
        with self._block("else:"):
            self.line("begin = p")
            yield
            self.line(f"{known}.remember(b[begin:p], ({', '.join(values)}))")

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    def _lines(self, *texts: str) -> None:
        for text in texts:
            self.line(text)

    def _variable(self) -> str:
        """A new variable name: containers may be nested."""
        self._variables += 1
        return f"v{self._variables}"

    def _read_named(self, schema: Schema | str, to: str) -> None:
        kind, name = self._named(schema)
        if kind == "enum":
            self._lines(f"{to} = members_{name}[b[p]]", "p += 1")
        else:
            self.line(f"{to}, p = {name}(b, p)")

    def _read_long(self, to: str) -> None:
        with self._block("if (n := b[p]) < 128:"):
            self._lines(f"{to} = n >> 1 ^ -(n & 1)", "p += 1")
        with self._block("else:"):
            self.line(f"{to}, p = read_long(b, p)")

    def _read_time(self, to: str) -> None:
        with self._block(f"if ({to} := known_times.get(b[p:p + 6])) is None:"):
            self.line(f"{to}, p = read_time(b, p)")
        with self._block("else:"):
            self.line("p += 6")

    def _read_bytes(self, to: str, convert: str) -> None:
        with self._block("if (n := b[p]) & 129:"):
            self._lines("n, p = read_length(b, p)", "q = p + n", f"{to} = b[p:q]{convert}")
        with self._block("else:"):
            self._lines("q = p + 1 + (n >> 1)", f"{to} = b[p + 1:q]{convert}")
        self.line("p = q")

    def _read_optional(self, present: Any, to: str) -> None:
        with self._block("if not (n := b[p]):"):
            self._lines(f"{to} = None", "p += 1")
        with self._block("elif n == 2:"):
            self.line("p += 1")
            self.read(present, to)
        with self._block("else:"):
            self.line("bad_branch(n)")

    @contextmanager
    def _blocks(self) -> Iterator[str]:
        """Add lines for the blocks of an array or map; yields the variable with the number of items."""
        count = self._variable()
        with self._block("while n := b[p]:"):
            with self._block("if n & 129:"):
                self.line(f"{count}, p = read_block(b, p)")
            with self._block("else:"):
                self._lines(f"{count} = n >> 1", "p += 1")
            yield count
        self.line("p += 1")

    def _read_array(self, items: Any, to: str) -> None:
        found, item = self._variable(), self._variable()
        if items == "string":
            self.line(f"{to} = ()")
            with self._blocks() as count:
                # A tuple added to the empty one stays the same object.
                self._lines(f"{item}, p = read_texts(b, p, {count})", f"{to} += {item}")
            return
        self.line(f"{found} = []")
        with self._blocks() as count:
            if items == "long":
                self._lines(f"{item}, p = read_longs(b, p, {count})", f"{found} += {item}")
            else:
                with self._block(f"for _ in range({count}):"):
                    self.read(items, item)
                    self.line(f"{found}.append({item})")
        self.line(f"{to} = tuple({found})")

    def _read_map(self, values: Any, to: str) -> None:
        found, key, value = self._variable(), self._variable(), self._variable()
        self.line(f"{found} = {{}}")
        with self._blocks() as count, self._block(f"for _ in range({count}):"):
            self.read("string", key)
            self.read(values, value)
            self.line(f"{found}[{key}] = {value}")
        self.line(f"{to} = {found}")
