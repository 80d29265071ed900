"""Engines that generate, the pool of them, the publishing of weights."""
