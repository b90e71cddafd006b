"""The errors a user can meet: each says what is wrong and what to do about it."""

from __future__ import annotations

from scalesr.secrecy import without_secrets


class ScalesrError(Exception):
    """Something the user can mend. Secrets in its texts are blacked out.

    Parameters
    ----------
    problem
        What is wrong, naming the file, the axis or the option. A full stop is put after what does not end in one, as
        words of another library may not.
    remedy
        What to do about it, in the imperative.
    """

    exit_code = 1

    def __init__(self, problem: str, *, remedy: str) -> None:
        problem = _sentence(without_secrets(problem))
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call the class with positional arguments, which keyword-only `remedy` refuses.
        return _rebuild, (type(self), self.problem, self.remedy)


def _sentence(text: str) -> str:
    text = text.rstrip()
    if text.endswith("..") and not text.endswith("..."):
        return text[:-1]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _rebuild(kind: type[ScalesrError], problem: str, remedy: str) -> ScalesrError:
    return kind(problem, remedy=remedy)


class InputError(ScalesrError):
    """The input image cannot be used: absent, unreadable, ambiguous axes, NaN where none is allowed."""

    exit_code = 3


class OutputError(ScalesrError):
    """The output cannot be written: it exists, no permission, the disk is full."""

    exit_code = 4


class ModelError(ScalesrError):
    """The model cannot be used: unknown, unsafe to load, other channels or axes than the image."""

    exit_code = 5


class PlanError(ScalesrError):
    """The run as asked for cannot work: more memory than allowed, sizes that do not fit the model."""

    exit_code = 6


class LedgerError(ScalesrError):
    """The ledger in the output belongs to another run or is damaged."""

    exit_code = 7


class StorageError(ScalesrError):
    """A chunk cannot be read or decoded; the message names it."""

    exit_code = 8


class FailedBlocksError(ScalesrError):
    """Some blocks failed again and again and were left out; all others are done, and the output is not whole."""

    exit_code = 11


class ClusterError(ScalesrError):
    """Whoever runs the tasks is gone, and did not come back for as long as patience lasts."""

    exit_code = 12


class InterruptedRunError(ScalesrError):
    """The run was stopped before its end; what is done is kept and the run can be resumed."""

    exit_code = 130
