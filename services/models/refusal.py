"""Why an upload is not let in, as the confined child says it; the codes are stable.

| code | means |
| --- | --- |
| `unreadable` | the bytes are none of the formats, cut off, or broken |
| `type-not-permitted` | the file names a class or function that is not let in |
| `library-version-differs` | it cannot be read as it was saved by another version of its library |
| `not-an-estimator` | what the file holds is no model |
| `corrupt` | its parts do not fit together, it is not fitted, or it gives no finite numbers |
| `features-unnamed`, `features-differ`, `unknown-feature` | the names of its features |
| `wrong-task`, `wrong-classes`, `no-probability` | it does not give what its task needs |
| `onnx-not-permitted` | an ONNX graph with custom operators, outside data, loops, or over the limits |
| `too-slow`, `too-much-memory`, `compiled-too-large`, `crashes`, `forbidden-call` | what its trial led to |
"""


class Refusal(Exception):
    """Why the upload is not let in, as `ModelRefused` has it."""

    def __init__(self, code: str, detail: str, advice: str) -> None:
        super().__init__(code, detail, advice)
        self.code = code
        self.detail = detail
        self.advice = advice


def said(error: BaseException) -> str:
    """An exception of a library in one line."""
    return f"{type(error).__name__}: {error}"[:500]
