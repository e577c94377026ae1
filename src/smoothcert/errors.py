"""The errors of the package, one tree. Each message says what was expected, what came, and what to do."""


class SmoothcertError(Exception):
    """Root of every error that this package raises on purpose; the command line exits with `exit_code`.

    Attributes:
        code: stable name of the cause, such as E-DATA-012; it stays when the words of the message change.
    """

    exit_code = 2

    def __init__(self, message: str, *, code: str = "") -> None:
        """Hold the message, and the code of its cause."""
        super().__init__(message)
        self.code = code


class InputError(SmoothcertError):
    """The input is not valid. Nothing was written."""


class SpecError(InputError):
    """A setting is out of range, or two settings contradict each other."""


class DataError(InputError):
    """Images or labels cannot be used."""


class ModelError(InputError):
    """A classifier cannot be loaded, or its output is not that of a classifier."""


class RecipeError(ModelError):
    """The classifier cannot be run with the requested or recorded numeric recipe."""


class EvidenceError(InputError):
    """A run directory, ledger, log or bundle cannot be read, is damaged, or does not match."""


class MissingExtraError(SmoothcertError):
    """A package of an optional extra is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        """Build the message.

        Args:
            what: the function or flag that needs the extra.
            extra: name of the extra.
        """
        super().__init__(
            f"{what} needs the extra `{extra}`: pip install '.[{extra}]' in a clone of smoothcert.", code="E-EXTRA-001"
        )


def printable(text: str) -> str:
    """Return a text on one line, with control characters (also those that hide or reverse letters) as escapes.

    >>> printable("a\\x1b[31m\\nb")
    'a\\\\x1b[31m\\\\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_text(name: str) -> bool:
    """Return whether a name can be encoded as UTF-8; a lone surrogate, from a byte of another encoding, cannot.

    >>> is_text("naïve"), is_text(b"\\xff".decode(errors="surrogateescape"))
    (True, False)
    """
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
