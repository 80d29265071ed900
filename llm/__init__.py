"""Language models that make and explain the decisions of a supply chain."""
