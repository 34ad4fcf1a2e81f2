"""Records and what is made of them: rows, marks, comparisons. Nothing here needs torch."""
