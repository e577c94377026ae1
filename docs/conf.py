"""The documentation site: Sphinx reads the Markdown files where they lie, so every link works in a clone as well.

The source folder is the root of the project: `sphinx-build -c docs . build/site`.
"""

import sys
from pathlib import Path

from smoothcert.version import __version__

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "site"))

project = "smoothcert"
author = "The smoothcert maintainers"
project_copyright = author
version = release = __version__

root_doc = "docs/index"
include_patterns = ["docs/**", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md", "examples/*/README.md"]
exclude_patterns = [".*", "build", "dist", "runs", "src", "tests"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "public_api"]
myst_enable_extensions = ["html_image"]
myst_heading_anchors = 4
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autoclass_content = "both"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = f"smoothcert {release}"
html_extra_path = ["site/home"]
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"docs/index": [], "docs/getting-started": [], "docs/which-certificate": []}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
