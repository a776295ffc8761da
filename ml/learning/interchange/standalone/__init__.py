"""What goes beside exported graphs: code that answers with them by numpy and ONNX Runtime, without anything of ours.

`run.py`, `readers/{encoder}.py` and `answers/{how}.py` are copied into the folder. They import neither each other nor
this package, and do again what `ml.encoders` and `ml.tasks` do, which a test holds them to. What an answer is looked
for with is copied beside it (`WITH`): modules of `ml` that need nothing but numpy.
"""
