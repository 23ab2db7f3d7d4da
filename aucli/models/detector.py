"""The project's own face detector: an anchor-free feature pyramid read at stride 8."""

import torch
from torch import Tensor, nn

from aucli.models.blocks import Residual, Up, conv_bn_relu
from aucli.models.network import Network

COARSEST_STRIDE = 32


class FaceDetectorNet(Network):
    """Centre score, centre offset and size of a face at every cell of 8 px.

    forward: x (N, 3, H, W) float, normalised as its card says, H and W multiples of 32.
    Returns (N, 5, H/8, W/8): 0 centre-score logit; 1, 2 centre offset (x, y) in cells from the
    cell's centre, which lies at px 8 * j + 3.5; 3, 4 log(w / 32), log(h / 32).
    Raises ValueError on other sizes.
    """

    def __init__(self, widths: tuple[int, int, int, int, int] = (16, 32, 48, 72, 96)) -> None:
        super().__init__()
        self.config = {"widths": list(widths)}
        w0, w1, w2, w3, w4 = widths
        self.stem = nn.Sequential(conv_bn_relu(3, w0, 2), conv_bn_relu(w0, w1, 2))
        self.stage8 = nn.Sequential(conv_bn_relu(w1, w2, 2), Residual(w2))
        self.stage16 = nn.Sequential(conv_bn_relu(w2, w3, 2), Residual(w3), Residual(w3))
        self.stage32 = nn.Sequential(conv_bn_relu(w3, w4, 2), Residual(w4), Residual(w4))
        self.up16 = Up(w4, w3)
        self.up8 = Up(w3, w2)
        self.head = nn.Sequential(conv_bn_relu(w2, w2), nn.Conv2d(w2, 5, 1))
        last = self.head[1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        # Faces fill about one cell in fifty: start there, not at one in two (focal-loss prior).
        nn.init.zeros_(last.bias)
        with torch.no_grad():
            last.bias[0] = -4.0

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height % COARSEST_STRIDE or width % COARSEST_STRIDE:
            raise ValueError(f"detector input must be multiples of 32 px, got {width}x{height}")
        at8 = self.stage8(self.stem(x))
        at16 = self.stage16(at8)
        at32 = self.stage32(at16)
        return self.head(self.up8(self.up16(at32, at16), at8))
