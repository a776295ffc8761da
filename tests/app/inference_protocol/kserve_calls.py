"""Asks a service by KServe's client, and writes the answers as JSON.

python kserve_calls.py ADDRESS KEY

The client requires older versions of pandas, protobuf and psutil than Plinth.
"""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def tensor(name, datatype, array, *, binary):
    """An input with the values of an array."""
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


async def ask(address, key):
    """Answers by the name of what was asked."""
    client, headers = InferenceRESTClient(RESTConfig(protocol="v2")), {"Authorization": f"Bearer {key}"}
    older = InferenceRESTClient(RESTConfig(protocol="v1"))

    async def infer(model, inputs, **options):
        request = InferRequest(model_name=model, infer_inputs=inputs, **options)
        response = await client.infer(address, request, model_name=model, headers=dict(headers))
        outputs = {output.name: output.as_numpy().tolist() for output in response.outputs}
        return {"model": response.model_name, "id": response.id, "outputs": outputs}

    async def refusal(model, inputs):
        try:
            await infer(model, inputs)
        except httpx.HTTPStatusError as error:
            return str(error)

    pixels = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    texts = np.array(["a quiet film", "世"], dtype=object)
    half = np.array([5, 2], np.float16)
    columns = [tensor("length", "FP16", half, binary=True), tensor("site", "BYTES", texts, binary=False)]
    requested = [RequestedOutput("probabilities", {"binary_data": True}), RequestedOutput("label")]
    return {
        "live": await client.is_server_live(address),
        "ready": await client.is_server_ready(address),
        "model is ready": await client.is_model_ready(address, "shades", headers=headers),
        "nothing is ready": await client.is_model_ready(address, "nothing", headers=headers),
        "pixels": [
            await infer("shades", [tensor("pixels", "UINT8", pixels, binary=binary)], request_id="mine", **options)
            for binary, options in ((False, {}), (True, {"parameters": {"binary_data_output": True}}))
        ],
        "outputs": await infer("shades", [tensor("pixels", "UINT8", pixels, binary=True)], request_outputs=requested),
        "texts": await infer("text_classification", [tensor("text", "BYTES", texts, binary=True)]),
        "columns": await infer("tabular_classification", columns),
        "refusal": await refusal("shades", [tensor("pixel", "UINT8", pixels, binary=True)]),
        "older is ready": await older.is_model_ready(address, "shades", headers=headers),
        "predictions": await older.infer(
            address, {"instances": [{"text": "a quiet film"}]}, model_name="text_classification", headers=headers
        ),
    }


if __name__ == "__main__":
    json.dump(asyncio.run(ask(*sys.argv[1:])), sys.stdout)
