"""Learning with RLlib. Reads Ray and torch only when asked for what needs them."""
