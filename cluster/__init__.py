"""Machines: what a training needs of them."""
