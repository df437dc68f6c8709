"""A file into a table: extract, validate, transform, load."""

from __future__ import annotations

from .load import load_chunk
from .orchestrator import admit_chunks, run_pipeline, summarise_run
from .rows import row_model
from .transform import transform_chunk, transformation
from .validate import validate_chunk

__all__ = ["STEPS", "row_model", "run_pipeline", "transformation"]

#: The actors of the flow, in the order in which they run.
STEPS = (run_pipeline, validate_chunk, admit_chunks, transform_chunk, load_chunk, summarise_run)
