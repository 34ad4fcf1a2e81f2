"""How results look: terminal, markdown, LaTeX, CSV, HTML, plots."""
