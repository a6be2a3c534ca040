"""What can go wrong in the live room; none of it knows HTTP.

ServerError
├── TensorInvalid                a tensor of the open inference protocol cannot be meant
└── VersionNotActive             a model is asked by its name alone, and none of its versions is active
"""

from services.errors import ServerError


class TensorInvalid(ServerError):
    """The request's `part` (such as `inputs[0]`) cannot be meant; `detail` says why, and what to send."""

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(part, detail)
        self.part = part
        self.detail = detail


class VersionNotActive(ServerError):
    """No version of the model `name` is active; `versions` are there."""

    def __init__(self, name: str, versions: tuple[str, ...]) -> None:
        super().__init__(name, versions)
        self.name = name
        self.versions = versions
