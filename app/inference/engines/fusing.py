"""Convolution, normalisation, addition and ReLU in one call, where cuDNN has one.

Apart from its products of matrices a convolutional network spends its time reading and writing
maps: once more for the normalisation, once more for the sum, once more for the ReLU. cuDNN computes
all of these while a convolution's result is still on the chip.
"""

import logging
import operator
from collections import Counter
from typing import cast

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

_logger = logging.getLogger(__name__)

_SUMS = (operator.add, operator.iadd, torch.add)
_RELUS = (functional.relu, torch.relu)


class _ConvolutionReLU(nn.Module):
    """ReLU of a convolution."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        conv = self.convolution
        images = images.to(conv.weight.dtype)
        if not images.is_cuda:
            return functional.relu(conv(images))
        return torch.cudnn_convolution_relu(images, conv.weight, conv.bias, *_geometry(conv))


class _ConvolutionSumReLU(nn.Module):
    """ReLU of the sum of a convolution and something else of the same shape."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, images: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        conv = self.convolution
        images = images.to(conv.weight.dtype)
        if not images.is_cuda:
            return functional.relu(conv(images) + other)
        # cuDNN takes both in one layout only.
        other = other.to(conv.weight.dtype).contiguous(memory_format=torch.channels_last)
        return torch.cudnn_convolution_add_relu(
            images, conv.weight, other, 1.0, conv.bias, *_geometry(conv)
        )


_Lengths = tuple[int, ...]


def _geometry(conv: nn.Conv2d) -> tuple[_Lengths, _Lengths, _Lengths, int]:
    padding = cast("_Lengths", conv.padding)
    return conv.stride, padding, conv.dilation, conv.groups


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # Kinds of convolutions of our own pad in a way that cannot be traced.
        return isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


def fused(network: nn.Module) -> nn.Module:
    """A network that computes the same with fewer calls.

    Args:
        network: In evaluation mode. Parts of it are used, and no longer work by themselves.

    Returns:
        What takes its place: the network itself, if it does not say beforehand which layers an
        image goes through, or has none that can be joined.
    """
    try:
        traced = fx.GraphModule(network, _Tracer().trace(network))
    # Whatever a network does that cannot be followed, it works as it is.
    except Exception as error:  # noqa: BLE001
        _logger.debug("a network's layers are not joined: %s", error)
        return network
    if not _Fusing(traced).run():
        return network
    traced.delete_all_unused_submodules()
    traced.graph.lint()
    traced.recompile()
    return traced.eval()


class _Fusing:
    """Rewrites one graph."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self._traced = traced
        self._modules = dict(traced.named_modules())
        self._uses = Counter(str(n.target) for n in traced.graph.nodes if n.op == "call_module")

    def run(self) -> int:
        """Joins what can be joined; gives the number of calls that are left of it."""
        joined = 0
        for node in list(self._traced.graph.nodes):
            if not self._is_relu(node):
                continue
            module, inputs = self._joined(node.args[0])
            if module is not None:
                joined += 1
                self._replace(node, module, inputs, f"joined_{joined}")
        self._traced.graph.eliminate_dead_code()
        return joined

    def _joined(self, before: object) -> tuple[nn.Module | None, tuple[fx.Node, ...]]:
        """What computes the ReLU of a node in one call, and of what; None if nothing does."""
        convolution, source = self._convolution(before)
        if convolution is not None and source is not None:
            return _ConvolutionReLU(convolution), (source,)
        if isinstance(before, fx.Node) and _is_sum(before):
            one, other = before.args[:2]
            for made, beside in ((one, other), (other, one)):
                convolution, source = self._convolution(made)
                if convolution is None or source is None or not isinstance(beside, fx.Node):
                    continue
                return _ConvolutionSumReLU(convolution), (source, beside)
        return None, ()

    def _is_relu(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return isinstance(self._modules[str(node.target)], nn.ReLU)
        return node.op == "call_function" and node.target in _RELUS

    def _convolution(self, node: object) -> tuple[nn.Conv2d | None, fx.Node | None]:
        """The convolution whose result, normalised or not, a node is, and what goes into it.

        None unless all that is made on the way has one reader alone.
        """
        if not isinstance(node, fx.Node) or node.op != "call_module" or len(node.users) != 1:
            return None, None
        module, before = self._modules[str(node.target)], node.args[0]
        if isinstance(module, nn.BatchNorm2d):
            convolution, source = self._convolution(before)
            if convolution is None or module.running_var is None:
                return None, None
            return fuse_conv_bn_eval(convolution, module), source
        once = self._uses[str(node.target)] == 1
        # Not of a kind that is made from it: those do something else.
        if type(module) is not nn.Conv2d or not once or not isinstance(before, fx.Node):
            return None, None
        padded = module.padding_mode == "zeros" and not isinstance(module.padding, str)
        return (module, before) if padded else (None, None)

    def _replace(
        self, node: fx.Node, module: nn.Module, inputs: tuple[fx.Node, ...], name: str
    ) -> None:
        self._traced.add_submodule(name, module)
        with self._traced.graph.inserting_after(node):
            node.replace_all_uses_with(self._traced.graph.call_module(name, inputs))
        self._traced.graph.erase_node(node)


def _is_sum(node: fx.Node) -> bool:
    """Whether a node adds two things up, for one reader, and changes nothing that others read."""
    if node.op != "call_function" or node.target not in _SUMS or node.kwargs:
        return False
    if len(node.args) != 2 or len(node.users) != 1:
        return False
    first = node.args[0]
    return node.target is not operator.iadd or (
        isinstance(first, fx.Node) and len(first.users) == 1
    )
