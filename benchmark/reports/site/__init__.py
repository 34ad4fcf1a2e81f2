"""``bench report``: all that is recorded, as a folder of pages that opens from a disk."""
