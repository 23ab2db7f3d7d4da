"""The PyTorch demo that the authors of Fan, Lam, Li (AAAI 2020) released: a plain heatmap ResNet.

It has no semantic correspondence convolutions; those are in ``scc_heatmap.py``.
"""

from torch import Tensor, nn

from aucli.models.blocks import deconv_bn_relu
from aucli.models.network import AUNetwork
from aucli.models.resnet import ResNet

DECONV_WIDTH = 256


class HeatmapResNet(ResNet, AUNetwork):
    """ResNet-50, three deconvolutions of 256 channels and a 1x1 convolution.

    maps: output heatmaps K, 10 in the published weights: two for each of five AUs.
    forward: x (N, 3, H, W) float, RGB / 255, H and W multiples of 32, 256 in the published weights.
    Returns (N, K, H/4, W/4), 255 x intensity at a peak. State-dict names are the published ones.
    """

    def __init__(self, maps: int = 10) -> None:
        super().__init__("resnet50")
        self.config = {"maps": maps}
        self.deconv_layers_1 = deconv_bn_relu(self.out_channels, DECONV_WIDTH)
        self.deconv_layers_2 = deconv_bn_relu(DECONV_WIDTH, DECONV_WIDTH)
        self.deconv_layers_3 = deconv_bn_relu(DECONV_WIDTH, DECONV_WIDTH)
        self.final_layer = nn.Conv2d(DECONV_WIDTH, maps, 1)

    @property
    def head(self) -> nn.Conv2d:
        return self.final_layer

    def forward(self, x: Tensor) -> Tensor:
        x = self.deconv_layers_1(super().forward(x))
        return self.final_layer(self.deconv_layers_3(self.deconv_layers_2(x)))
