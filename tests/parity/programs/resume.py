"""A run that stops early, and one that goes on from a checkpoint: model, optimizer, schedule and generator; hooks on the way."""

import copy
import io

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset, random_split

torch.manual_seed(0)
data = TensorDataset(torch.randn(120, 6), torch.randint(0, 3, (120,)))
train, valid = random_split(data, [80, 40], generator=torch.Generator().manual_seed(42))
train_loader, valid_loader = DataLoader(train, 16, shuffle=True, drop_last=True), DataLoader(valid, 40)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1, weight=torch.tensor([1.0, 2.0, 1.0]))


def make():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Dropout(0.2), nn.Linear(32, 3))


def train_epoch(model, optimizer):
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    return loss.item()


def validate(model):
    model.eval()
    with torch.no_grad():
        return sum(criterion(model(x), y).item() for x, y in valid_loader) / len(valid_loader)


model = make()
decay = [p for name, p in model.named_parameters() if not name.endswith("bias")]
rest = [p for name, p in model.named_parameters() if name.endswith("bias")]
optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0, "lr": 0.02}], lr=0.05)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
activations = {}
handles = [layer.register_forward_hook(lambda m, i, o, name=name: activations.__setitem__(name, o.detach().abs().mean().item()))
           for name, layer in model.named_children()]
best, waited, kept = float("inf"), 0, None
for epoch in range(15):
    loss = train_epoch(model, optimizer)
    value = validate(model)
    scheduler.step(value)
    print(epoch, loss, value, [group["lr"] for group in optimizer.param_groups])
    if value < best:
        best, waited, kept = value, 0, copy.deepcopy(model.state_dict())
    else:
        waited += 1
        if waited == 3:
            break
print(activations)
for handle in handles:
    handle.remove()
print(str(model.load_state_dict(kept)), validate(model))

file = io.BytesIO()
torch.save({"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
            "rng": torch.get_rng_state()}, file)
first = [train_epoch(model, optimizer) for _ in range(2)]
file.seek(0)
checkpoint = torch.load(file)
again = make()
again.load_state_dict(checkpoint["model"])
names = [name for name, _ in again.named_parameters()]
optimizer = torch.optim.AdamW([{"params": [p for n, p in again.named_parameters() if not n.endswith("bias")]},
                               {"params": [p for n, p in again.named_parameters() if n.endswith("bias")]}], lr=7.0)
optimizer.load_state_dict(checkpoint["optimizer"])
torch.set_rng_state(checkpoint["rng"])
second = [train_epoch(again, optimizer) for _ in range(2)]
print(first, second, first == second, names, checkpoint["epoch"], optimizer.state_dict()["state"][0]["step"].item())

# a state dict of a wrapped model, and one with a missing key
wrapped = {f"module.{key}": value for key, value in again.state_dict().items()}
print(str(nn.DataParallel(make()).load_state_dict(wrapped)))
del kept["4.bias"]
print(str(make().load_state_dict(kept, strict=False)))
