"""Tables that users bring: CSV or Parquet, every cell checked, every complaint with file and row."""

from __future__ import annotations

import csv
import datetime
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
from pydantic import TypeAdapter, ValidationError

from hmarl.errors import InputError
from hmarl.network.config import Name

NAME_RULE = "a name: up to 64 letters, digits, spaces, '_', '-' and '.', beginning with a letter or digit"
_DATE = re.compile(r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})(?:[ T]00:00(?::00(?:\.0+)?)?)?")
_YES = {"1", "1.0", "true", "yes", "y", "t"}
_NO = {"0", "0.0", "false", "no", "n", "f"}
_NAMES: TypeAdapter[str] = TypeAdapter(Name)


class Table:
    """The rows of a file, each cell as it stands there.

    Attributes
    ----------
    path
        The file.
    frame
        Its rows; the index is the line (CSV, the header is line 1) or the row from 1 (Parquet).
    columns
        The file's name for each field.
    """

    def __init__(self, path: Path, frame: pd.DataFrame, columns: Mapping[str, str]) -> None:
        self.path, self.frame, self.columns = path, frame, dict(columns)

    @classmethod
    def read(
        cls,
        path: str | Path,
        required: Sequence[str],
        optional: Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
    ) -> Table:
        """Read CSV, or Parquet where the name ends in ``.parquet`` or ``.pq``.

        Parameters
        ----------
        required, optional
            Fields that must and may be there.
        columns
            The file's names of fields where they differ.

        Raises
        ------
        InputError
            If the file cannot be read or a column is missing.
        """
        path, renamed, fields = Path(path), dict(columns or {}), (*required, *optional)
        unknown = set(renamed) - set(fields)
        if unknown:
            raise InputError(f"columns: {shown(min(unknown))}: one of {', '.join(fields)}")
        frame = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
        names = {field: renamed.get(field, field) for field in fields}
        found = [str(column) for column in frame.columns]
        for field, name in names.items():
            needed = field in required or field in renamed
            if (needed and name not in found) or found.count(name) > 1:
                wrong = "missing" if name not in found else "there more than once"
                listed = ", ".join(shown(column) for column in found[:12])
                raise InputError(f"{path}: column {shown(name)} is {wrong}; the columns are {listed}")
        return cls(path, frame, names)

    def __len__(self) -> int:
        return len(self.frame)

    def has(self, field: str) -> bool:
        """Whether the file holds an optional field."""
        return self.columns[field] in self.frame.columns

    def cell(self, row: int, field: str) -> object:
        """One cell; rows count from 0."""
        return self.frame[self.columns[field]].iloc[row]

    def line(self, row: int) -> int:
        """Where a row stands in the file."""
        return int(self.frame.index[row])

    def error(self, row: int, field: str, allowed: str) -> InputError:
        """What is wrong with a cell, in one line."""
        place = f"{self.path}: row {self.line(row)}: {self.columns[field]}"
        return InputError(f"{place} {shown(self.cell(row, field))}: {allowed}")

    def dates(self, field: str) -> np.ndarray:
        """A column of dates, datetime64[D]."""
        cells = self._cells(field)
        if pd.api.types.is_datetime64_any_dtype(cells):
            cells = cells.dt.strftime("%Y-%m-%d")
        parsed = {cell: _date(cell) for cell in cells.unique()}
        for row, cell in enumerate(cells):
            if parsed[cell] is None:
                raise self.error(row, field, "a date as YYYY-MM-DD")
        return np.array([parsed[cell] for cell in cells], "datetime64[D]")

    def date(self, row: int, field: str) -> datetime.date:
        """One cell as a date."""
        cell = self.cell(row, field)
        parsed = _date(cell.date() if isinstance(cell, datetime.datetime) else cell)
        if parsed is None:
            raise self.error(row, field, "a date as YYYY-MM-DD")
        return datetime.date.fromisoformat(str(parsed))

    def names(self, field: str) -> np.ndarray:
        """A column of names, spaces around them left out."""
        cells = self._cells(field)
        checked = {cell: _name(cell) for cell in cells.unique()}
        for row, cell in enumerate(cells):
            if checked[cell] is None:
                raise self.error(row, field, NAME_RULE)
        return np.array([checked[cell] for cell in cells], object)

    def numbers(self, field: str, allowed: str) -> np.ndarray:
        """A column of finite numbers, 0 or more."""
        numbers = np.empty(len(self))
        for row, cell in enumerate(self._cells(field)):
            number = _number(cell)
            if number is None:
                raise self.error(row, field, allowed)
            numbers[row] = number
        return numbers

    def booleans(self, field: str) -> np.ndarray:
        """A column of yes and no."""
        cells = [str(cell).strip().lower() for cell in self._cells(field)]
        for row, cell in enumerate(cells):
            if cell not in _YES and cell not in _NO:
                raise self.error(row, field, "yes or no (or 1, 0, true, false)")
        return np.array([cell in _YES for cell in cells], bool)

    def _cells(self, field: str) -> pd.Series:
        return self.frame[self.columns[field]]


def shown(value: object) -> str:
    """A value as an error line shows it: quoted, without control characters, cut to 60 characters."""
    text = str(value)
    text = repr(text) if text.isprintable() else ascii(text)
    return text if len(text) <= 60 else text[:57] + "..."


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with path.open("rb") as file:
            frame = pd.read_parquet(file).reset_index(drop=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or _one_line(error)}") from error
    except (ValueError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {_one_line(error)}") from error
    frame.index += 1
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            header = [cell.strip() for cell in next(reader, [])]
            if not header:
                raise InputError(f"{path}: no row: the file is empty")
            lines, rows = [], []
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    raise InputError(
                        f"{path}: row {reader.line_num}: {len(row)} cells: {len(header)}, as in the header"
                    )
                lines.append(reader.line_num)
                rows.append(row)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or _one_line(error)}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV in UTF-8: {_one_line(error)}") from error
    return pd.DataFrame(rows, columns=pd.Index(header), index=lines, dtype=object)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _date(cell: object) -> np.datetime64 | None:
    match = _DATE.fullmatch(str(cell).strip())
    if match is None:
        return None
    try:
        return np.datetime64(f"{match[1]}-{int(match[3]):02d}-{int(match[4]):02d}", "D")
    except ValueError:
        return None


def _name(cell: object) -> str | None:
    try:
        return _NAMES.validate_python(str(cell).strip())
    except ValidationError:
        return None


def _number(cell: object) -> float | None:
    text = str(cell).strip()
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 and "_" not in text else None
