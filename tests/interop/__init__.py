"""Tests of datasets that other tools have written, run by `make interop`."""
