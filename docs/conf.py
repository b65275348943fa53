"""Sphinx settings: the walkthroughs run while the pages are built, and a warning is an error."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]
os.environ["PYTHONPATH"] = str(HERE.parent)  # the walkthroughs' kernels see this tree too

import minigrad  # noqa: E402  (the path above comes first)

project = "minigrad"
author = "The minigrad maintainers"
copyright = f"2026, {author}"
version = release = minigrad.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "mathml",
    "plain_docstrings",
    "benchmark_tables",
    "check_site",
    "class_pages",
    "command_line",
    "exercises",
    "figures",
    "house",
    "levels",
    "live",
    "notebooks",
    "signatures",
    "source_links",
    "variant_pages",
]
exclude_patterns = ["_build", "_ext", "_templates", "live"]
templates_path = ["_templates"]

# --- pages -------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = -1  # the machine may be busy
nb_merge_streams = True

live_pyodide = "local"  # a published site may name Pyodide's CDN, see _ext/live.py

# --- reference ---------------------------------------------------------------------------------

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_inherit_docstrings = False
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # numpydoc's Parameters sections say it in words, with shapes
default_role = "py:obj"  # a name in single backquotes links to what it names
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
maximum_signature_line_length = 85  # a longer one gets a line per parameter

# --- look --------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"minigrad {release}"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["minigrad.css"]
html_js_files = [("scrolling.js", {"defer": "defer"})]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
