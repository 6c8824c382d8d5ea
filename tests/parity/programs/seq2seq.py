"""Reversing sequences: padded and packed input, a bidirectional GRU, additive attention, an LSTM decoder, greedy decoding."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader

SOS, EOS, WORDS, HIDDEN = 0, 1, 12, 16


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, HIDDEN, padding_idx=EOS)
        self.gru = nn.GRU(HIDDEN, HIDDEN // 2, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.dropout(self.embedding(x)), lengths, batch_first=True, enforce_sorted=False)
        outputs, hidden = self.gru(packed)
        return pad_packed_sequence(outputs, batch_first=True)[0], torch.cat(list(hidden), dim=1)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, HIDDEN)
        self.Wa, self.Ua, self.Va = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 1)
        self.cell = nn.LSTMCell(2 * HIDDEN, HIDDEN)
        self.out = nn.Linear(HIDDEN, WORDS)

    def forward(self, keys, mask, hidden, target=None, steps=6):
        state = (hidden, torch.zeros_like(hidden))
        word = torch.empty(keys.size(0), dtype=torch.long).fill_(SOS)
        logits = []
        for i in range(steps if target is None else target.size(1)):
            scores = self.Va(torch.tanh(self.Wa(state[0]).unsqueeze(1) + self.Ua(keys))).squeeze(2)
            weights = F.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)
            context = torch.bmm(weights.unsqueeze(1), keys).squeeze(1)
            state = self.cell(torch.cat((self.embedding(word), context), dim=1), state)
            logits.append(self.out(state[0]))
            word = target[:, i] if target is not None else logits[-1].topk(1)[1].squeeze(-1).detach()
        return torch.stack(logits, dim=1), weights


def collate(sequences):
    lengths = torch.tensor([len(s) for s in sequences])
    return (pad_sequence(sequences, batch_first=True, padding_value=EOS), lengths,
            pad_sequence([torch.cat([s.flip(0), torch.tensor([EOS])]) for s in sequences], batch_first=True, padding_value=EOS))


torch.manual_seed(4)
data = [torch.randint(2, WORDS, (int(torch.randint(2, 7, (1,))),)) for _ in range(48)]
encoder, decoder = Encoder(), Decoder()
optimizer = torch.optim.NAdam([*encoder.parameters(), *decoder.parameters()], lr=0.01)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.03, epochs=3, steps_per_epoch=3)
for _ in range(3):
    for x, lengths, y in DataLoader(data, batch_size=16, shuffle=True, collate_fn=collate):
        keys, hidden = encoder(x, lengths)
        mask = torch.arange(keys.size(1))[None, :] < lengths[:, None]
        logits, _ = decoder(keys, mask, hidden, y)
        loss = F.cross_entropy(logits.view(-1, WORDS), y.view(-1), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        print(tuple(x.shape), loss.item(), scheduler.get_last_lr())
encoder.eval()
with torch.no_grad():
    x, lengths, _ = collate(data[:3])
    keys, hidden = encoder(x, lengths)
    logits, weights = decoder(keys, torch.arange(keys.size(1))[None, :] < lengths[:, None], hidden)
print(logits.argmax(-1).tolist(), weights.tolist())
