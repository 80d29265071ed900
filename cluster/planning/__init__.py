"""What a training of a language model needs: memory, engines, time, nodes."""
