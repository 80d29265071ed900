"""What a model is asked, how its answer is read, what the answer was worth."""
