"""A residual network on small images, with the padding shortcut: batch norm, Nesterov momentum, milestones, top-k accuracy."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class Shortcut(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class BasicBlock(nn.Module):
    def __init__(self, in_planes, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = Shortcut(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4), "constant", 0))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    def __init__(self, blocks, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        layers, planes = [], 8
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layers.append(BasicBlock(planes, planes * stride, stride))
                planes *= stride
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(planes, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x):
        out = self.layers(F.relu(self.bn1(self.conv1(x))))
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


torch.manual_seed(3)
net = ResNet(2)
print(sum(p.numel() for p in net.parameters()), len(list(net.named_modules())))
images, labels = torch.randn(8, 3, 16, 16), torch.randint(0, 10, (8,))
optimizer = torch.optim.SGD(net.parameters(), 0.02, momentum=0.9, weight_decay=1e-4, nesterov=True)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 3])
criterion = nn.CrossEntropyLoss()
for _ in range(4):
    output = net(images)
    loss = criterion(output, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    _values, pred = output.topk(5, 1, True, True)
    correct = pred.t().eq(labels.view(1, -1).expand_as(pred.t()))
    print(loss.item(), [correct[:k].reshape(-1).float().sum(0, keepdim=True).item() for k in (1, 5)], optimizer.param_groups[0]["lr"])
net.eval()
print(net.bn1.running_mean.tolist(), net.bn1.num_batches_tracked.item())
print(net(images[:2]).tolist())
