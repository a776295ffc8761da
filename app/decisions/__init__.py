"""Typed questions about an input, answered with probabilities.

Two protocols ask them: System One at `/v1/systemone`, and OpenAI's decisions at `/v1/decisions`.
"""
