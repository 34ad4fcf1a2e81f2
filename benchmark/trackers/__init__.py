"""Tools that keep runs, told of a training while it goes on: a file each; ``bench run --track NAME``."""
