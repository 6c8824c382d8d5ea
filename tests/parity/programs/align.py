"""A recogniser trained with CTC, a spatial transformer, and an embedding table with sparse gradients asked for."""

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
reader = nn.LSTM(5, 8, bidirectional=True)
scores = nn.Linear(16, 6)
criterion = nn.CTCLoss(zero_infinity=True)
optimizer = torch.optim.SGD([*reader.parameters(), *scores.parameters()], lr=0.1, momentum=0.9)
frames = torch.randn(20, 3, 5)
labels, lengths = torch.randint(1, 6, (3, 5)), torch.tensor([5, 4, 3])
for step in range(5):
    log_probs = scores(reader(frames)[0]).log_softmax(-1)
    loss = criterion(log_probs, labels, torch.full((3,), 20), lengths)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.item())


class Spatial(nn.Module):
    def __init__(self):
        super().__init__()
        self.look = nn.Sequential(nn.LazyConv2d(4, 3), nn.FractionalMaxPool2d(2, output_size=3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(6))
        self.classify = nn.AdaptiveLogSoftmaxWithLoss(64, 10, [4, 7])

    def forward(self, x, target):
        theta = self.look(x).view(-1, 2, 3) * 0.1 + torch.eye(2, 3)
        grid = F.affine_grid(theta, (x.size(0), 1, 8, 8), align_corners=False)
        seen = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        return self.classify(seen.flatten(1), target)


model = Spatial()
images, target = torch.rand(6, 1, 10, 10), torch.randint(0, 10, (6,))
model(images, target)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for step in range(5):
    output, loss = model(images, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.item(), output.detach().mean().item())
print(F.interpolate(images[:1], size=(3, 4), mode="bicubic", antialias=True).flatten().tolist())
print(F.pdist(images.flatten(1)[:4]).tolist())
