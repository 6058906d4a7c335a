"""Sphinx settings; everything is built from what is in the repository, without the network."""

project = "aiohttp-jobs"
copyright = "2026, the aiohttp-jobs authors"  # noqa: A001 - Sphinx calls it so
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_static_path = ["_static"]
exclude_patterns = ["_build"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
