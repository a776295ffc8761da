"""Code of exported ONNX folders, which predicts with numpy and ONNX Runtime alone.

`run.py`, `preprocess/{encoder}.py` and `postprocess/{name}.py` are copied into the folder. The modules of `ml` that
they import are copied into `runtime/`, with imports rewritten; these may need the packages in
`standalone_code.REQUIREMENTS` and no others. Text, characters and item histories are encoded here a second time, since
their encoders need Pydantic; a test compares the predictions.
"""
