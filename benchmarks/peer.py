"""Training and evaluation as distillation code is commonly written: a DataLoader over pictures, the
teacher asked in every step.

The other side of benchmarks/run.py. Nothing here is made slower than the usual way; its gradients
are those of rsnl_lib.
"""

import copy

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from rsnl_lib import networks


class Maxout(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        a, b = self.layer(x).chunk(2, dim=1)
        return torch.maximum(a, b)


def network(net):
    """A copy of one of rsnl_lib's networks of two-piece maxouts: the same layers and weights,
    joined by torch.maximum.
    """
    net = copy.deepcopy(net)
    for i, m in enumerate(net):
        if isinstance(m, networks.Maxout):
            net[i] = Maxout(m.layer)
    return net


class Pictures(Dataset):
    """uint8 images (n, h, w) or (n, h, w, 3) as pictures, through the transforms, one by one (as
    torchvision's MNIST and CIFAR10).
    """

    def __init__(self, images, labels, transform):
        self.images, self.labels, self.transform = images, labels.tolist(), transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.images[i])), self.labels[i]


def loader(images, labels, mean, std, batch=128, flip=False):
    steps = [transforms.RandomHorizontalFlip()] * flip + [
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ]
    return DataLoader(Pictures(images, labels, transforms.Compose(steps)), batch, shuffle=True)


def read(batches, device):
    """Go through all batches, doing nothing with them."""
    for x, y in batches:
        x.to(device), y.to(device)


def cross_entropy(net, teacher, x, y, r, lam):
    """The stock step, which all others are counted in."""
    a_S = net(x)
    return F.cross_entropy(a_S, y), a_S


def _kd(a_S, a_T, y, r, lam):
    soft = -(F.softmax(a_T / r.tau, dim=1) * F.log_softmax(a_S / r.tau, dim=1)).sum(dim=1).mean()
    return F.cross_entropy(a_S, y) + lam * soft


def kd(net, teacher, x, y, r, lam):
    with torch.no_grad():
        a_T = teacher(x)
    a_S = net(x)
    return _kd(a_S, a_T, y, r, lam), a_S


def robust(net, teacher, x, y, r, lam):
    """Eq. 17: the teacher's scores and input gradient computed here, the student's under
    create_graph.
    """
    x = x.detach().requires_grad_()
    a_T, a_S = teacher(x), net(x)
    f_T, f_S = (F.softmax(a / r.tau, dim=1).gather(1, y[:, None]).sum() for a in (a_T, a_S))
    (g_T,) = torch.autograd.grad(f_T, x)
    (g_S,) = torch.autograd.grad(f_S, x, create_graph=True)
    a_T = a_T.detach()
    lead = (F.softmax(a_S, dim=1) - F.softmax(a_T, dim=1)).gather(1, y[:, None])
    L_G = ((g_S - g_T) ** 2).sum(dim=(1, 2, 3)).mean()
    L_S = F.relu(r.gamma - lead).mean()
    return _kd(a_S, a_T, y, r, lam) + r.C1 * L_G + r.C2 * L_S, a_S


def constants(teacher, x, y, tau):
    """The teacher's logits and the input gradient of its tempered score, by plain autograd."""
    x = x.detach().requires_grad_()
    a = teacher(x)
    (g,) = torch.autograd.grad(F.softmax(a / tau, dim=1).gather(1, y[:, None]).sum(), x)
    return a.detach(), g


def crop(x, pad):
    """Each image cropped at random out of itself with zeros around, as a loop over torchvision's
    RandomCrop does.
    """
    one = transforms.RandomCrop(x.shape[-1], padding=pad)
    return torch.stack([one(image) for image in x])


def step(loss_of, net, teacher, x, y, r, lam):
    """Gradients of one batch, left in the parameters; the loss and the accuracy as numbers, for the
    log.
    """
    loss, a = loss_of(net, teacher, x, y, r, lam)
    net.zero_grad()
    loss.backward()
    return loss.item(), (a.argmax(1) == y).float().mean().item()


def epoch(net, teacher, batches, held, optimiser, r, lam, device):
    """One epoch of the robust student: the means of the log, and the accuracy on the batches of
    `held`.
    """
    net.train()
    log = []
    for x, y in batches:
        log.append(step(robust, net, teacher, x.to(device), y.to(device), r, lam))
        nn.utils.clip_grad_norm_(net.parameters(), r.clip)
        optimiser.step()
    return [sum(v) / len(log) for v in zip(*log)], accuracy(net, held, device)


@torch.no_grad()
def accuracy(net, batches, device):
    net.eval()
    right = 0
    for x, y in batches:
        right += (net(x.to(device)).argmax(1) == y.to(device)).sum().item()
    return right / len(batches.dataset)


def sweep(nets, images, labels, snrs, device, batch=64):
    """Accuracy of each network by itself at each signal-to-noise ratio (dB), the noise drawn image
    by image.
    """
    rows = []
    for net in nets:
        for snr in snrs:

            def noise(t, snr=snr):
                return t + torch.randn_like(t) * (t.square().mean() / 10 ** (snr / 10)).sqrt()

            noisy = Pictures(images, labels, transforms.Compose([transforms.ToTensor(), noise]))
            rows.append(accuracy(net, DataLoader(noisy, batch), device))
    return rows
