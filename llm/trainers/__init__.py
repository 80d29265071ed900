"""One file an algorithm: TRL's trainers inside Ray Train."""
