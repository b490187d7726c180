"""What a person looks at: tables of runs, the leaderboard, the report, the terminal."""
