"""Layers, losses and models on autograd_core, every one composed from its operations.

>>> import autograd_core as ag, nn
>>> model = nn.Sequential(nn.Dense(1, 16), nn.ReLU(), nn.Dense(16, 1))
>>> model(ag.zeros((5, 1))).shape
(5, 1)
"""

from autograd_core.parameter import Buffer, Parameter
from nn import data, init, schedules
from nn.activations import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from nn.containers import Residual, ResidualBlock, Sequential
from nn.conv import Conv, ConvTranspose
from nn.dense import Dense
from nn.dropout import Dropout
from nn.history import History
from nn.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
    nll_loss,
)
from nn.module import Module
from nn.norm import BatchNorm, GroupNorm, LayerNorm
from nn.optim import SGD, Adam, AdamW, RMSprop, clip_grad_norm
from nn.pool import AvgPool, Flatten, GlobalAvgPool, MaxPool
from nn.storage import load, save
from nn.summary import Summary, summary
from nn.training import fit

__all__ = [
    "Module",
    "Parameter",
    "Buffer",
    "Dense",
    "Conv",
    "ConvTranspose",
    "BatchNorm",
    "LayerNorm",
    "GroupNorm",
    "Dropout",
    "MaxPool",
    "AvgPool",
    "GlobalAvgPool",
    "Flatten",
    "ReLU",
    "GELU",
    "SiLU",
    "Tanh",
    "Sigmoid",
    "Softmax",
    "LeakyReLU",
    "Sequential",
    "Residual",
    "ResidualBlock",
    "init",
    "mse_loss",
    "l1_loss",
    "huber_loss",
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy_with_logits",
    "SGD",
    "Adam",
    "AdamW",
    "RMSprop",
    "clip_grad_norm",
    "schedules",
    "data",
    "fit",
    "History",
    "save",
    "load",
    "summary",
    "Summary",
]
