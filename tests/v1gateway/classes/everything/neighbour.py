"""Imported by its bare name, as in the folder of a version 1 class."""


def scaled(rows, factor):
    return rows * factor
