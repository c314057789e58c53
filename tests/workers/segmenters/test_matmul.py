"""Products of matrices are the same whichever library computes them."""

from __future__ import annotations

import pytest
import torch

from workers.segmenters.decoder import matmul
from workers.segmenters.decoder.matmul import linear, multiply


@pytest.fixture(params=["oneDNN", "PyTorch"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "PyTorch":
        monkeypatch.setattr(matmul, "_ONEDNN", None)
    elif matmul._ONEDNN is None:
        pytest.skip("this PyTorch has no oneDNN")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_products_are_sums_of_products(count: int, turned: bool) -> None:
    draw = torch.Generator().manual_seed(5)
    a, b, added = (
        torch.randn(count, *shape, generator=draw) for shape in ((6, 40), (40, 9), (6, 9))
    )
    if turned:  # the same numbers, stored the other way round
        a, b = a.mT.contiguous().mT, b.mT.contiguous().mT
    wanted = torch.einsum("nrk,nkc->nrc", a.double(), b.double())
    with torch.inference_mode():
        torch.testing.assert_close(multiply(a, b).double(), wanted, atol=1e-4, rtol=1e-4)
        summed = multiply(a, b, added.expand(count, -1, -1))
    torch.testing.assert_close(summed.double(), wanted + added, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("library")
def test_linear_layers_are_pytorchs() -> None:
    layer, rows = torch.nn.Linear(40, 9), torch.randn(7, 40)
    with torch.inference_mode():
        found = linear(rows, layer.weight, layer.bias)
    torch.testing.assert_close(found, layer(rows))


def test_gradients_pass() -> None:
    a, b = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 4, 5)
    multiply(a, b).sum().backward()
    torch.testing.assert_close(a.grad, b.sum(dim=2)[:, None].expand(2, 3, 4))
