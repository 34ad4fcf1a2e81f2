"""The suite: trains a cell (method x dataset x seed), evaluates it, records it, makes tables of records."""
