"""What a language model's training and evaluation look like: tables, pictures, the page of a run."""
