"""Searches for the settings of a training, on Ray Tune: ``python -m tune.sweep hmarl|llm``."""
