"""Renderers of the result document: HTML, Markdown, CSV and tables, and the document itself."""
