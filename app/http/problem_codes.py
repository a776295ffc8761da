"""Codes of problem documents, each with its status and an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from typing_extensions import TypeAliasType

from ml.errors import Finding

ProblemCode = TypeAliasType(
    "ProblemCode",
    Literal[
        "answer_too_large",
        "bad_request",
        "beyond_upload_length",
        "body_timeout",
        "body_too_large",
        "checksum_mismatch",
        "conflict",
        "context_length_exceeded",
        "damaged",
        "database_unavailable",
        "deadline_exceeded",
        "field_too_large",
        "headers_timeout",
        "headers_too_large",
        "hub_off",
        "idempotency_key_in_use",
        "idempotency_key_reused",
        "insufficient_scope",
        "internal_error",
        "invalid_data",
        "invalid_form",
        "invalid_header",
        "invalid_http",
        "invalid_input",
        "invalid_json",
        "invalid_package",
        "invalid_request",
        "invalid_spec",
        "json_too_large",
        "key_missing",
        "key_unknown",
        "method_not_allowed",
        "model_not_allowed",
        "no_inputs",
        "no_such_path",
        "not_a_stream",
        "not_an_image",
        "not_audio",
        "not_found",
        "offset_mismatch",
        "origin_not_allowed",
        "precondition_failed",
        "queue_full",
        "quota_reached",
        "range_not_satisfiable",
        "rate_limited",
        "stopped",
        "storage_full",
        "storage_unavailable",
        "too_many_parts",
        "unknown_checksum",
        "unknown_host",
        "unsupported_charset",
        "unsupported_coding",
        "unsupported_media_type",
        "unsupported_tus_extension",
        "unsupported_tus_version",
        "upload_incomplete",
        "upload_locked",
        "upload_too_large",
    ],
)


@dataclass(frozen=True, slots=True)
class ProblemExample:
    """One problem as a client may receive it."""

    status: int
    detail: str
    errors: tuple[Finding, ...] = ()


_UNKNOWN_TASK: Final = Finding(
    code="unknown_name",
    message="there is no task named 'image_clasification'; known: image_classification, image_generation",
    path="task",
    found="image_clasification",
    expected="image_classification, image_generation",
    hint="Did you mean 'image_classification'?",
)
_NOT_AN_INTEGER: Final = Finding(
    code="int_parsing",
    message="Input should be a valid integer, unable to parse string as an integer",
    path="limit",
    found="'ten'",
)

PROBLEMS: Final[Mapping[ProblemCode, ProblemExample]] = {
    # 400
    "bad_request": ProblemExample(400, "Invalid multipart data."),
    "context_length_exceeded": ProblemExample(
        400,
        "This model's maximum context length is 255 tokens. However, your messages resulted in 312 tokens. Send a "
        "shorter text.",
        (
            Finding(
                code="context_length_exceeded",
                message="This model's maximum context length is 255 tokens. However, your messages resulted in 312 "
                "tokens",
                path="messages",
            ),
        ),
    ),
    "invalid_header": ProblemExample(
        400, "Upload-Metadata has the value 'a.zip', which is not base64. Encode it, with padding."
    ),
    "invalid_http": ProblemExample(400, "Invalid HTTP request received. Use http://; a proxy in front adds TLS."),
    "unknown_checksum": ProblemExample(400, "There is no checksum algorithm 'crc32'; known: sha1, sha256, md5."),
    "unknown_host": ProblemExample(
        400, "'api.example.org' is not a name of this service. Add it to PLINTH_ALLOWED_HOSTS."
    ),
    "unsupported_tus_extension": ProblemExample(
        400,
        "This server does not offer the tus extension concatenation. Send the upload in one part, with "
        "`parallelUploads: 1` in tus-js-client.",
    ),
    # 401
    "key_missing": ProblemExample(401, "Send your key as 'Authorization: Bearer <key>'; `plinth up` prints it."),
    "key_unknown": ProblemExample(
        401,
        "This key is unknown, expired or revoked. Send another. A restart of `plinth up` replaces its own key if it is "
        "revoked.",
    ),
    # 403
    "insufficient_scope": ProblemExample(
        403,
        "This request needs a key of the scope train; this one has predict. Send another key, or create one: "
        "plinth keys create NAME --scope train.",
    ),
    "model_not_allowed": ProblemExample(
        403, "This key is for the models digits*, not for 'reviews'. Send another key."
    ),
    "origin_not_allowed": ProblemExample(
        403,
        "Pages of the origin 'https://app.example.com' may not send requests to this service. Add it to "
        "PLINTH_CORS_ORIGINS, and restart the API.",
    ),
    # 404, 405, 406, 408
    "not_found": ProblemExample(404, "There is no model 'digit'. Known: digits. Did you mean 'digits'?"),
    "no_such_path": ProblemExample(404, "There is no path /api/v1/job. /docs lists every path."),
    "method_not_allowed": ProblemExample(405, "This path does not support PUT; use POST, GET, HEAD."),
    "not_a_stream": ProblemExample(
        406, "Only the text of a single input can be streamed. Send 'Accept: application/json'."
    ),
    "not_an_image": ProblemExample(
        406, "Only a single output that is an image can be sent as image/png. Send 'Accept: application/json'."
    ),
    "not_audio": ProblemExample(
        406, "Only a single output that is an audio clip can be sent as audio/wav. Send 'Accept: application/json'."
    ),
    "body_timeout": ProblemExample(
        408, "The body stopped arriving for 30 s, or came slower than 500 bytes per second. Send the request again."
    ),
    "headers_timeout": ProblemExample(408, "The headers took longer than 10 s. Send the request again."),
    # 409
    "conflict": ProblemExample(409, "mnist@1 is validating; wait until it is ready."),
    "damaged": ProblemExample(
        409, "models/mdl_1/model.onnx is damaged: its checksum does not match; restore it from a backup."
    ),
    "hub_off": ProblemExample(
        409,
        "Downloads from the Hugging Face hub are off. Run `hf download owner/name --local-dir folder` on a machine "
        "with network access, and upload a zip of the folder; or set PLINTH_HUB_TOKEN for API and worker.",
    ),
    "idempotency_key_in_use": ProblemExample(
        409, "A request with this Idempotency-Key is in progress. Send it again in a moment."
    ),
    "invalid_package": ProblemExample(
        409, "digits@1 has no graph to run. Train it again with this version of the service."
    ),
    "offset_mismatch": ProblemExample(409, "4096 bytes have arrived; send the piece that starts at offset 4096."),
    "upload_incomplete": ProblemExample(
        409, "The upload upl_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c has 4096 of 9912 bytes. Send the rest first."
    ),
    # 412
    "precondition_failed": ProblemExample(412, "The alias production of digits has changed. Read it again."),
    "unsupported_tus_version": ProblemExample(412, "This server supports tus 1.0.0; send 'Tus-Resumable: 1.0.0'."),
    # 413
    "beyond_upload_length": ProblemExample(
        413, "The body goes beyond the announced Upload-Length of 9912 bytes; send the rest alone."
    ),
    "body_too_large": ProblemExample(
        413, "The body is larger than the limit of 1048576 bytes for this path. Send less at once."
    ),
    "field_too_large": ProblemExample(
        413, "The field 'columns' is larger than the limit of 1048576 bytes. Shorten it."
    ),
    "too_many_parts": ProblemExample(413, "The form has more than 20000 parts. Send a zip or tar instead."),
    "upload_too_large": ProblemExample(
        413,
        "The upload is larger than the limit of 107374182400 bytes. Send less, or raise PLINTH_MAX_UPLOAD_BYTES.",
    ),
    # 415
    "unsupported_charset": ProblemExample(415, "Send text as UTF-8, not as 'latin-1'."),
    "unsupported_coding": ProblemExample(415, "Send the body uncompressed, without 'Content-Encoding: gzip'."),
    "unsupported_media_type": ProblemExample(
        415, "This path reads application/json, not application/yaml. Send JSON with that Content-Type."
    ),
    # 416, 422
    "range_not_satisfiable": ProblemExample(
        416, "The content has 4096 bytes; request a range that begins before its end."
    ),
    "answer_too_large": ProblemExample(
        422,
        "The outputs of the first 12 of 1,024 inputs exceed 64 MiB. Send fewer inputs per request.",
        (
            Finding(
                code="answer_too_large",
                message="The outputs of the first 12 of 1,024 inputs exceed 64 MiB.",
                path="inputs.11",
            ),
        ),
    ),
    "idempotency_key_reused": ProblemExample(
        422, "This Idempotency-Key was sent before with another request. Use a new key."
    ),
    "invalid_data": ProblemExample(
        422, "the model has no class 'kiwi'; its classes are apple, pear. Correct the label."
    ),
    "invalid_form": ProblemExample(
        422, "The form cannot be read: it ends before its last boundary; send it again, whole."
    ),
    "invalid_input": ProblemExample(
        422,
        "inputs.0.image: this is no base64.",
        (Finding(code="invalid_input", message="this is no base64", path="inputs.0.image"),),
    ),
    "invalid_json": ProblemExample(
        422,
        "The body is not valid JSON: unexpected end of data.",
        (Finding(code="json_invalid", message="unexpected end of data"),),
    ),
    "invalid_request": ProblemExample(
        422, "limit: Input should be a valid integer, unable to parse string as an integer.", (_NOT_AN_INTEGER,)
    ),
    "invalid_spec": ProblemExample(
        422,
        "task: there is no task named 'image_clasification'; known: image_classification, image_generation. "
        "Did you mean 'image_classification'?",
        (_UNKNOWN_TASK,),
    ),
    "json_too_large": ProblemExample(
        422,
        "Too many JSON values (limit 2,000,000). Send fewer inputs per request, and images and audio clips as files.",
        (Finding(code="json_too_large", message="too many JSON values (limit 2,000,000)"),),
    ),
    "no_inputs": ProblemExample(422, "The form has no file. Send each input as a file part named 'file'."),
    # 423, 429, 431, 460
    "upload_locked": ProblemExample(423, "Another request writes to this upload. Ask for its offset with HEAD."),
    "queue_full": ProblemExample(429, "512 inputs are waiting for this model. Try again in 2 s."),
    "quota_reached": ProblemExample(
        429,
        "The key 'laptop' has 20 jobs queued or running (quota 20); wait until one of them ends, or cancel one.",
    ),
    "rate_limited": ProblemExample(429, "This key may send 60 requests a minute. Send the next one in 1 s."),
    "headers_too_large": ProblemExample(431, "The headers exceed 65536 bytes. Send fewer cookies and shorter headers."),
    "checksum_mismatch": ProblemExample(460, "The checksum of the piece does not match. Send it again."),
    # 500 and above
    "internal_error": ProblemExample(500, "Internal error. The log of the service has details under request id req_1."),
    "database_unavailable": ProblemExample(503, "The database is unavailable. Try again in a moment; see /readyz."),
    "stopped": ProblemExample(503, "The service stopped before it answered. Send the request again in a moment."),
    "storage_unavailable": ProblemExample(503, "Blob storage is unavailable. Try again in a moment; see /readyz."),
    "deadline_exceeded": ProblemExample(
        504, "The deadline passed before the request's turn came. Raise X-Timeout-Seconds, or try again."
    ),
    "storage_full": ProblemExample(507, "The disk is full. Delete datasets or models, then try again."),
}

#: Codes sent before an operation is chosen; no operation documents them.
BEFORE_ROUTING: Final = frozenset(
    {"headers_timeout", "headers_too_large", "invalid_http", "method_not_allowed", "no_such_path", "origin_not_allowed"}
)
