"""CLIP's byte-level byte-pair encoding in miniature: learn it from captions, then encode as CLIPTokenizer does on ASCII text.

    python tokenizer.py DATA FOLDER      learns from the captions of DATA.json, writes vocab.json and merges.txt
"""
import json
import os
import re
import sys
from collections import Counter

WORDS = re.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+", re.I)
MOST_MERGES = 600


def printable_bytes():
    """GPT-2's printable stand-in for each byte, in its order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    stand_ins = {byte: chr(byte) for byte in plain}
    stand_ins.update({byte: chr(256 + k) for k, byte in enumerate(others)})
    return stand_ins


BYTES = printable_bytes()


def words_of(text):
    """Each word as a tuple of symbols, its last one marked as an ending."""
    text = re.sub(r"\s+", " ", text.strip()).lower()
    for word in WORDS.findall(text):
        symbols = [BYTES[byte] for byte in word.encode()]
        yield (*symbols[:-1], symbols[-1] + "</w>")


def merge(word, pair):
    merged, k = [], 0
    while k < len(word):
        if word[k:k + 2] == pair:
            merged.append(word[k] + word[k + 1])
            k += 2
        else:
            merged.append(word[k])
            k += 1
    return tuple(merged)


def learn(texts, limit=MOST_MERGES):
    """The most frequent pairs of neighbouring symbols, merged one after another."""
    counts, merges = Counter(word for text in texts for word in words_of(text)), []
    while len(merges) < limit:
        pairs = Counter()
        for word, count in counts.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        merged = Counter()
        for word, count in counts.items():
            merged[merge(word, best)] += count
        counts = merged
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = merges
        self.rank = {pair: k for k, pair in enumerate(merges)}
        symbols = list(BYTES.values())
        symbols += [symbol + "</w>" for symbol in symbols] + [a + b for a, b in merges]
        symbols += ["<|startoftext|>", "<|endoftext|>"]
        self.vocab = {symbol: k for k, symbol in enumerate(symbols)}
        self.start, self.end = len(symbols) - 2, len(symbols) - 1
        self.known = {}

    def _tokens(self, word):
        if word not in self.known:
            symbols = word
            while len(symbols) > 1:
                pair = min(zip(symbols, symbols[1:]), key=lambda pair: self.rank.get(pair, len(self.rank)))
                if pair not in self.rank:
                    break
                symbols = merge(symbols, pair)
            self.known[word] = [self.vocab[symbol] for symbol in symbols]
        return self.known[word]

    def encode(self, text, length=77, pad=None):
        """Token numbers from start to end, padded with the end token or with pad."""
        tokens = [token for word in words_of(text) for token in self._tokens(word)][:length - 2]
        tokens = [self.start, *tokens, self.end]
        return tokens + [self.end if pad is None else pad] * (length - len(tokens))

    def save(self, folder):
        os.makedirs(folder, exist_ok=True)
        with open(folder + "/vocab.json", "w", encoding="utf-8") as file:
            json.dump(self.vocab, file, ensure_ascii=False)
        with open(folder + "/merges.txt", "w", encoding="utf-8") as file:
            file.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in self.merges))

    @classmethod
    def load(cls, folder):
        with open(folder + "/merges.txt", encoding="utf-8") as file:
            return cls([tuple(line.rstrip("\n").split(" ")) for line in file.readlines()[1:]])


if __name__ == "__main__":
    with open(sys.argv[1] + ".json") as captions:
        tokenizer = Tokenizer(learn(text for record in json.load(captions) for text in record["captions"]))
    tokenizer.save(sys.argv[2])
    print(len(tokenizer.merges), "merges, vocabulary of", len(tokenizer.vocab))
