# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx's settings for the docs site. What is built is laid out by tests/support/site/build.py."""

from __future__ import annotations

project = "gpuserve.fleet"
author = "gpuserve.fleet contributors"
copyright = "2026, gpuserve.fleet contributors"
language = "en"
html_title = "gpuserve.fleet"
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/favicon.svg"
# Nothing is fetched from elsewhere when a page is read.
html_show_sphinx = False
html_copy_source = False
extensions = ["myst_parser", "sphinx_antsibull_ext"]
# A link to a heading is checked as one to a page is.
myst_heading_anchors = 4
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["**/.*"]
# Modules of others are named in ours; their pages are not of this site.
nitpicky = False
highlight_language = "text"
