"""The processes that train one network together, and what they pass to each other.

Every process, a rank, has all weights and computes some parts of each batch (data parallelism). Rank 0 decides what
depends on the clock or on a request, so that all do the same at each step. Nothing listens beyond the loopback
interface: processes find each other by a file, and sockets are bound to that interface.
"""

from __future__ import annotations

import contextlib
import os
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor
    from torch.nn import Parameter

#: Time that a rank waits for the others: rank 0 may be writing a large checkpoint.
MAX_WAIT: Final = timedelta(minutes=30)
#: Bytes that are added up at a time, which bounds the memory of the copy.
BUCKET_BYTES: Final = 1 << 25
#: Settings of gloo and NCCL for the interface of their sockets.
INTERFACE_VARIABLES: Final = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


class SingleProcess:
    """A training in one process, which has nobody to talk to."""

    rank: int = 0
    ranks: int = 1

    def agree(self, *decisions: int) -> tuple[int, ...]:
        """Return the decisions of rank 0; all ranks must call it at the same step."""
        return decisions

    def gather(self, value: Tensor) -> list[Tensor]:
        """Return the values of all ranks, in order and without gradients; all have one shape."""
        return [value]

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their sums over all ranks."""

    def add_gradients(self, parameters: Sequence[Parameter]) -> None:
        """Replace gradients by their sums; a weight that no rank has used keeps none."""

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of rank 0."""


class ProcessGroup(SingleProcess):
    """One of several processes, connected by `torch.distributed`.

    Tensors on a CPU go by gloo, those on a GPU by NCCL. If another rank ends, the next call raises `RuntimeError`.
    """

    def __init__(self, rank: int, ranks: int, *, device: torch.device, rendezvous: Path) -> None:
        """Connect to the other ranks, and wait for them.

        `rendezvous` is the path of a file that does not exist yet.
        """
        self.rank, self.ranks = rank, ranks
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
        with _loopback_only():
            store = distributed.FileStore(str(rendezvous), ranks)  # type: ignore[attr-defined]
            distributed.init_process_group(backend, store=store, rank=rank, world_size=ranks, timeout=MAX_WAIT)
            # Sockets are opened by the first operation.
            distributed.barrier()

    def close(self) -> None:
        """Wait until all ranks call this, and disconnect."""
        distributed.barrier()
        distributed.destroy_process_group()

    def agree(self, *decisions: int) -> tuple[int, ...]:
        """Return the decisions of rank 0; all ranks must call it at the same step."""
        # As integers: gloo adds and copies booleans by their bytes.
        tensor = torch.tensor(decisions, dtype=torch.int64)
        distributed.broadcast(tensor, src=0)
        return tuple(tensor.tolist())

    def gather(self, value: Tensor) -> list[Tensor]:
        """Return the values of all ranks, in order and without gradients; all have one shape."""
        values = [torch.empty_like(value) for _ in range(self.ranks)]
        distributed.all_gather(values, value.contiguous())
        return values

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their sums over all ranks."""
        for bucket in _buckets(tensors):
            joined = torch.cat([tensor.flatten() for tensor in bucket])
            distributed.all_reduce(joined)
            sums = torch.split(joined, [tensor.numel() for tensor in bucket])
            for tensor, total in zip(bucket, sums, strict=True):
                tensor.copy_(total.view(tensor.shape))

    def add_gradients(self, parameters: Sequence[Parameter]) -> None:
        """Replace gradients by their sums; a weight that no rank has used keeps none."""
        users = torch.tensor([int(parameter.grad is not None) for parameter in parameters])
        distributed.all_reduce(users)
        used = [parameter for parameter, count in zip(parameters, users.tolist(), strict=True) if count]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.add([parameter.grad for parameter in used if parameter.grad is not None])

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of rank 0."""
        for tensor in tensors:
            content = tensor.contiguous()
            distributed.broadcast(content, src=0)
            tensor.copy_(content)


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Split tensors, in order by type and device, into lists of at most about `BUCKET_BYTES`."""
    groups: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for group in groups.values():
        bucket: list[Tensor] = []
        size = 0
        for tensor in group:
            bucket.append(tensor)
            size += tensor.nbytes
            if size >= BUCKET_BYTES:
                yield bucket
                bucket, size = [], 0
        if bucket:
            yield bucket


@contextlib.contextmanager
def _loopback_only() -> Iterator[None]:
    """Bind the sockets that are opened inside of the context to the loopback interface."""
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    before = {name: os.environ.get(name) for name in INTERFACE_VARIABLES}
    os.environ.update(dict.fromkeys(INTERFACE_VARIABLES, loopback))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
