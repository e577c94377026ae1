"""One tree of errors. Each message says what was expected, what came, and what to do, in text that stays text."""


class SmoothcertError(Exception):
    """Root of every error this package raises on purpose; the command line exits with `exit_code`."""

    exit_code = 2


class InputError(SmoothcertError):
    """The user's input was refused. Nothing was written, nothing was lost."""


class SpecError(InputError):
    """A setting is out of range, or two settings contradict each other."""


class DataError(InputError):
    """Images or labels are not what the run needs."""


class ModelError(InputError):
    """A classifier cannot be loaded, or does not behave as a classifier."""


class RecipeError(ModelError):
    """The classifier cannot be run with the wanted numeric recipe, or not with the recorded one."""


class EvidenceError(InputError):
    """A run directory, ledger or log cannot be read, or belongs to something else."""


class MissingExtraError(SmoothcertError):
    """Something that only an optional extra of this package installs is not there."""

    def __init__(self, what: str, extra: str) -> None:
        """Name what needs the extra, and the extra."""
        super().__init__(f"{what} needs the extra `{extra}`: pip install '.[{extra}]' in a clone of smoothcert.")


def printable(text: str) -> str:
    """A text on one line for people: what could move a cursor, hide or reverse letters is written as its escape.

    >>> printable("a\\x1b[31m\\nb")
    'a\\\\x1b[31m\\\\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; half a character cannot, which stands for a byte of another encoding.

    >>> is_text("naïve"), is_text(b"\\xff".decode(errors="surrogateescape"))
    (True, False)
    """
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
