"""Weights of any library: their names, one table for each; read, adapted, and written again."""
