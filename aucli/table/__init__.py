"""The table of results: its columns, how rows become Arrow, and the files that hold them."""
