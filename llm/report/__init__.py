"""What a language model's training and evaluation look like: tables, pictures, the page of a run."""

from llm.report.html import write_report

__all__ = ["write_report"]
