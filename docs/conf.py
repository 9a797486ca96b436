"""Configuration of the documentation: sphinx-build -W docs docs/_build/html."""

import importlib.metadata
import os

import sphinx_autosummary_accessors

# The kernels that run the pages inherit this: their fits are small, and threads that wait for each
# other on a busy machine make them many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "xdpl"
author = "xdpl developers"
copyright = "2026, xdpl developers"
release = importlib.metadata.version("xdpl")
version = ".".join(release.split(".")[:2])

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_autosummary_accessors",
    "numpydoc",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints", "jupyter_execute"]
templates_path = ["_templates", sphinx_autosummary_accessors.templates_path]
suppress_warnings = ["mystnb.unknown_mime_type"]

# ---- pages ----------------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# ---- reference ------------------------------------------------------------------------------
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's "Parameters" hold the types in words
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# ---- look -----------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = f"xdpl {release}"
html_static_path = ["_static"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
