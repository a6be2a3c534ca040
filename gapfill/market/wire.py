"""How AWS's protocols write requests and answers: the EC2 query protocol's forms and XML, and JSON 1.1's errors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

EC2_XML = "http://ec2.amazonaws.com/doc/2016-11-15/"
_SCOPE = re.compile(r"Credential=[^/]*/\d{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")


class AwsError(Exception):
    """A refusal as AWS words it: its error code, message and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message, status)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Call:
    """One request: what is asked of which region, with the form's fields (EC2) by their wire names."""

    action: str
    region: str
    fields: Mapping[str, str]

    def get(self, name: str) -> str | None:
        """A single field; names differ in their first letter between API versions."""
        value = self.fields.get(name)
        return value if value is not None else self.fields.get(name[0].lower() + name[1:])

    def several(self, name: str) -> tuple[str, ...]:
        """The values of `Name.1`, `Name.2`, … in order."""
        prefix = f"{name}."
        found = [(int(key[len(prefix) :]), value) for key, value in self.fields.items() if _is_item(key, prefix)]
        return tuple(value for _, value in sorted(found))

    def filters(self) -> dict[str, tuple[str, ...]]:
        """Filter name → its values (any of them may match; `*` and `?` are wildcards)."""
        names = {
            key.split(".")[1]: value for key, value in self.fields.items() if re.fullmatch(r"Filter\.\d+\.Name", key)
        }
        return {name: self.several(f"Filter.{number}.Value") for number, name in names.items()}

    def instant(self, name: str) -> datetime | None:
        """A timestamp field; raises AwsError for what is none."""
        text = self.get(name)
        if not text:
            return None
        try:
            when = datetime.fromisoformat(text)
        except ValueError as error:
            raise AwsError("InvalidParameterValue", f"Invalid value '{text}' for {name}.") from error
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)

    def limit(self, most: int) -> int:
        """`MaxResults`, at most `most`; raises AwsError for what is no positive number."""
        text = self.get("MaxResults")
        if text is None:
            return most
        if not text.isdigit() or int(text) < 1:
            raise AwsError("InvalidParameterValue", f"Value ( {text} ) for parameter maxResults is invalid.")
        return min(int(text), most)


def _is_item(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and key[len(prefix) :].isdigit()


def read_form(body: bytes, region: str) -> Call:
    """The call in a query-protocol body; raises AwsError when it names no action."""
    fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    action = fields.pop("Action", "")
    if not action:
        raise AwsError("MissingAction", "The request must contain the parameter Action.")
    return Call(action, region, fields)


def region_of(authorization: str) -> str:
    """The region of a signature's credential scope; raises AwsError when there is none."""
    found = _SCOPE.search(authorization)
    if found is None:
        raise AwsError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    return found[1]


def items(name: str, entries: Iterable[str]) -> str:
    """An EC2 list: `<name><item>…</item>…</name>`; entries are XML already."""
    return f"<{name}>{''.join(f'<item>{entry}</item>' for entry in entries)}</{name}>"


def tags(**values: object) -> str:
    """`<name>value</name>` for each keyword, escaped."""
    return "".join(f"<{name}>{_text(value)}</{name}>" for name, value in values.items())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def answer(action: str, request_id: str, inner: str) -> bytes:
    """A whole EC2 answer."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{EC2_XML}">'
        f"<requestId>{request_id}</requestId>{inner}</{action}Response>"
    ).encode()


def refusal(error: AwsError, request_id: str) -> bytes:
    """An EC2 error document."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>{escape(error.code)}</Code>'
        f"<Message>{escape(error.message)}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
    ).encode()


def timestamp(seconds: int) -> str:
    """`2026-01-02T03:04:05.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
