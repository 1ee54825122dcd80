"""Whole plans on a grid of equal slots: drafted in several ways, mended and searched."""
