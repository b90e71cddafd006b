"""What all results of analyses can do: show their figures as rows, and as a data frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from scalesr.analysis.packages import need


class Tabular(ABC):
    """A result whose figures are rows of a table."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """Return one mapping from column to value for each row; all rows have the same columns in the same order."""

    def to_frame(self) -> Any:
        """Return the rows as a ``pandas.DataFrame``.

        Raises
        ------
        PlanError
            pandas is not installed.
        """
        return need("pandas", extra="tables", purpose="A data frame").DataFrame(self.rows())
