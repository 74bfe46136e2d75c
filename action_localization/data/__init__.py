"""Annotated videos of published data sets as one frozen `Corpus`; `layouts.read_corpus` knows every layout."""
