import torch

from model_store.shortage import out_of_memory


def test_want_of_memory_is_told_by_kind_or_by_the_words_of_the_libraries() -> None:
    wrapped = ValueError("a process failed")
    wrapped.__cause__ = torch.OutOfMemoryError("no memory")
    for error in (
        MemoryError(),
        wrapped,
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDNN_STATUS_ALLOC_FAILED"),
    ):
        assert out_of_memory(error), error
    for other in (ValueError("this image is out of memory"), RuntimeError("an illegal access")):
        assert not out_of_memory(other), other
