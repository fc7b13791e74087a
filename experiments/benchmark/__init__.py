"""How fast the parts are, and how much memory they need: one file for each thing measured."""
