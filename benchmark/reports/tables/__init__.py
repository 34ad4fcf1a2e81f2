"""The leaderboard as text: what stands in a table (``sheet``), and a file per format that writes it."""
