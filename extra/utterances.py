"""Tell from a single line who said it: classification of utterances of different lengths, in packed sequences.

    python extra/utterances.py

An utterance is a line of the standard library's source, a sentence of a docstring or a line of code; the speaker is the part of
the library that it is from. Lines have 4 to 25 words. Filled up to one length, most of a batch would be filling, which the GRU
would read as well. Packed, each line takes as many steps as it has words, and the state behind its last word, and that of the
other direction before its first, are what the last layer judges. No line of the test is among those learnt from.

Reaches 84.2 % of the test's lines, where guessing gives 16.7 %, in about 27 s on one core.
Write `torch` for `mytorch` in the imports, and the same program runs on PyTorch.
"""

from __future__ import annotations

import random
import re
from collections import Counter

from common import progress, read_options, source_of

import mytorch as torch
import mytorch.nn.functional as F
from mytorch import Tensor, nn
from mytorch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from mytorch.utils.data import DataLoader

SPEAKERS = {
    "asyncio": ("asyncio",),
    "email": ("email",),
    "unittest": ("unittest",),
    "xml": ("xml/dom", "xml/etree", "xml/sax"),
    "http": ("http", "urllib"),
    "numbers": ("_pydecimal", "fractions", "statistics", "random"),
}
LINES = 2000  # of each speaker
Utterance = tuple[list[str], int]  # its words and who said it


def utterances(chance: random.Random) -> list[Utterance]:
    """Lines of all speakers, in random order; a line that two of them say is left out."""
    said: dict[tuple[str, ...], set[int]] = {}
    for speaker, names in enumerate(SPEAKERS.values()):
        for line in "\n".join(source_of(*names)).splitlines():
            words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", line)  # HTTPError and http_error are two words
            if 4 <= len(words) <= 25:
                said.setdefault(tuple(word.lower() for word in words), set()).add(speaker)
    of_speaker: list[list[Utterance]] = [[] for _ in SPEAKERS]
    for line, speakers in said.items():
        if len(speakers) == 1:
            of_speaker[min(speakers)].append((list(line), min(speakers)))
    chosen = [utterance for lines in of_speaker for utterance in chance.sample(lines, LINES)]
    chance.shuffle(chosen)
    return chosen


class Listener(nn.Module):
    """Words (B, T), each utterance filled up to the longest, and their lengths (B,), to scores of the speakers (B, speakers)."""

    def __init__(self, vocabulary: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden, padding_idx=0)
        self.dropout = nn.Dropout(0.5)
        self.rnn = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, len(SPEAKERS))

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        heard = self.dropout(self.embedding(words))  # (B, T) -> (B, T, hidden)
        packed = pack_padded_sequence(heard, lengths, batch_first=True, enforce_sorted=False)
        _, last = self.rnn(packed)  # (2, B, hidden): each direction where it ends
        return self.out(self.dropout(torch.cat([last[0], last[1]], dim=1)))


def main(arguments: list[str] | None = None) -> float:
    """Train and test; returns the share of lines whose speaker is found."""
    options = read_options(arguments, __file__, __doc__, smoke={"epochs": 1, "hidden": 8}, epochs=(8, "passes over the lines"),
                           hidden=(96, "size of the states"), batch_size=(32, "lines per step"), lr=(0.002, "learning rate"))
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    lines = utterances(random.Random(options.seed))
    learning, testing = lines[: len(lines) * 9 // 10], lines[len(lines) * 9 // 10 :]
    count = Counter(word for words, _ in learning for word in words)
    number = {word: i for i, (word, times) in enumerate(count.items(), 2) if times > 1}  # 0 fills up, 1 is a word hardly ever heard

    def batch(items: list[Utterance]) -> tuple[Tensor, Tensor, Tensor]:
        words = [torch.tensor([number.get(word, 1) for word in line]) for line, _ in items]
        lengths = torch.tensor([len(line) for line in words])
        return pad_sequence(words, batch_first=True), lengths, torch.tensor([speaker for _, speaker in items])

    if options.smoke:
        learning, testing = learning[:320], testing[:100]
    model = Listener(max(number.values()) + 1, options.hidden)
    optimizer = torch.optim.Adam(model.parameters(), options.lr)
    print(f"{len(learning):,} lines to learn from, {len(testing):,} for the test, {len(number):,} words")
    for epoch in range(1, options.epochs + 1):
        summed = 0.0
        for words, lengths, speakers in progress(DataLoader(learning, options.batch_size, shuffle=True, collate_fn=batch), f"epoch {epoch}"):
            loss = F.cross_entropy(model(words, lengths), speakers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            summed += loss.item() * len(speakers)
        print(f"epoch {epoch:2}  loss {summed / len(learning):.3f}")

    model.eval()
    with torch.no_grad():
        words, lengths, speakers = batch(testing)
        found = model(words, lengths).argmax(dim=1)
    for (line, speaker), guess in list(zip(testing, found.tolist()))[:8]:
        print(f"  {list(SPEAKERS)[speaker]:9}{'' if guess == speaker else 'taken for ' + list(SPEAKERS)[guess]:20}{' '.join(line)}")
    right = (found == speakers).float().mean().item()
    print(f"test accuracy {100 * right:.1f} %")
    return right


if __name__ == "__main__":
    main()
