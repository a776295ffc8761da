"""Audio and images of the protocol: transcriptions, speech and generated images."""
