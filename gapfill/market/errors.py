"""What can go wrong in the market server itself; what it answers to AWS clients is in `wire.py`.

MarketServerError
├── OptionsInvalid    it cannot be started like that
└── StateMismatch     the state folder belongs to another market
"""


class MarketServerError(Exception):
    """The root of this room's errors."""


class OptionsInvalid(MarketServerError):
    """`option` cannot be what it is; `detail` says what is wrong and what it may be."""

    def __init__(self, option: str, detail: str) -> None:
        super().__init__(option, detail)
        self.option = option
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.option}: {self.detail}"


class StateMismatch(MarketServerError):
    """The folder `path` keeps the state of `found`; this market is `expected`."""

    def __init__(self, path: str, found: str, expected: str) -> None:
        super().__init__(path, found, expected)
        self.path = path
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.path} keeps the state of {self.found}, not of {self.expected}: choose another --state folder"
