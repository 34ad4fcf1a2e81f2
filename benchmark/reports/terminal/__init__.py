"""What commands show on a terminal, a file for each thing; the leaderboard, which has other formats too, apart."""
