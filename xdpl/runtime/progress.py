"""The progress bar: a widget in a notebook that can show one, text elsewhere."""

import warnings

with warnings.catch_warnings():
    # In a notebook without ipywidgets tqdm falls back to text, which needs no warning.
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm

__all__ = ["tqdm"]
