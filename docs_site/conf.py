"""Sphinx's settings, read by ``python -m docs_site`` from beside the assembled pages."""

from bnbench import __version__

project = "bnbench"
author = "the bnbench authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
"""Headings that a link may name, as on GitHub."""
smartquotes = False
"""Two hyphens are an option, not a dash."""
suppress_warnings = ["misc.highlighting_failure"]
"""A console's output is no shell: where it can't be coloured, it is shown as it is."""

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
autodoc_type_aliases = {"Array": "Array", "Norm": "Norm"}
"""Shown by their names."""
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = f"bnbench {version}"
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
html_extra_path = ["extra"]
html_static_path = ["static"]
html_css_files = ["site.css"]
pygments_style = "default"
html_theme_options = {"navigation_with_keys": True}
