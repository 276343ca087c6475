"""Make `ratings.npz` beside this script: features of 3,200 tweets, and how 20 people rated each.

    pip download --no-binary :all: --no-deps vaderSentiment==3.3.2
    pip install wordllama==0.4.0.post1
    python book/data/ratings.py vaderSentiment-3.3.2.tar.gz

The ratings, from -4 (extremely negative) to 4 (extremely positive), are those of Hutto and Gilbert,
"VADER: A parsimonious rule-based model for sentiment analysis of social media text" (ICWSM 2014):
`tweets_GroundTruth.txt` and `tweets_anonDataRatings.txt` in `hutto_ICWSM_2014.tar.gz`, which the
source archive of vaderSentiment holds. Kept are tweets with exactly 20 ratings whose mean is the one
that is published beside the text. The embedding is that of wordllama with 256 numbers, whose weights
come with the package: the mean of a vector for each token, divided by its length. Both packages are
under the MIT licence; of the texts nothing is stored but what is listed here:

- `ratings` (tweets, 20), int8: the ratings.
- `embedding` (tweets, 256), int8: features, divided by one number.
- `untrained` (tweets, 256), int8: the same of an untrained copy, with random vectors of the tokens.
- `words` (tweets, 50), uint8: which of the 400 most frequent words are there, `numpy.packbits`.
"""

import argparse
import ast
import collections
import io
import re
import tarfile
from importlib import metadata, resources
from pathlib import Path

import numpy as np
from safetensors.numpy import load
from tokenizers import Tokenizer

HERE = Path(__file__).parent
RATERS, WORDS = 20, 400
VERSION = "0.4.0.post1"


def read(archive: str) -> tuple[list[str], np.ndarray]:
    """Read the texts and their ratings.

    Args:
        archive: The source archive of vaderSentiment.

    Returns:
        Texts, and the ratings (texts, 20).
    """
    with tarfile.open(archive) as outer:
        names = outer.getnames()
        (name,) = (one for one in names if one.endswith("hutto_ICWSM_2014.tar.gz"))
        held = io.BytesIO(outer.extractfile(name).read())
    tables = []
    with tarfile.open(fileobj=held) as inner:
        for kind in ("GroundTruth", "anonDataRatings"):
            file = inner.extractfile(f"hutto_ICWSM_2014/tweets_{kind}.txt")
            text = file.read().decode("utf-8-sig", "replace").replace("\r\n", "\n")
            rows = (line.split("\t") for line in text.rstrip("\n").split("\n"))
            tables.append({row[0]: row[1:] for row in rows})
    texts, ratings = [], []
    for number, (mean, *_, text) in tables[0].items():
        given = ast.literal_eval(tables[1][number][-1])
        if len(given) == RATERS and abs(np.mean(given) - float(mean)) < 1e-3:
            texts.append(text)
            ratings.append(given)
    return texts, np.array(ratings, np.int8)


def embed(tokens: list[list[int]], vectors: np.ndarray) -> np.ndarray:
    """Embed texts as wordllama does: the mean of the tokens' vectors, at length one."""
    means = np.array([vectors[text].mean(axis=0) for text in tokens])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def in_8_bits(values: np.ndarray) -> np.ndarray:
    """Round to int8, in units of one number; what lies far out is cut off."""
    unit = np.quantile(abs(values), 0.9999) / 127
    return np.clip(np.round(values / unit), -127, 127).astype(np.int8)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("archive", help="vaderSentiment-3.3.2.tar.gz")
    texts, ratings = read(parser.parse_args().archive)
    if metadata.version("wordllama") != VERSION:
        raise SystemExit(f"wordllama must be {VERSION}; got another version")
    rng = np.random.default_rng(0)
    order = rng.permutation(len(texts))
    print(f"{len(texts)} tweets with {RATERS} ratings")
    texts, ratings = [texts[i] for i in order], ratings[order]

    package = resources.files("wordllama")
    weights = load((package / "weights/l2_supercat_256.safetensors").read_bytes())
    vectors = weights["embedding.weight"].astype(np.float32)
    name = "tokenizers/l2_supercat_tokenizer_config.json"
    tokenizer = Tokenizer.from_str((package / name).read_text(encoding="utf-8"))
    found = tokenizer.encode_batch(texts, add_special_tokens=False)
    tokens = [text.ids for text in found]

    split = [set(re.findall(r"[a-z']+", text.lower())) for text in texts]
    counts = collections.Counter(sorted(word for words in split for word in words))
    frequent = [word for word, _ in counts.most_common(WORDS)]
    bags = np.array([[word in words for word in frequent] for words in split])

    np.savez_compressed(
        HERE / "ratings.npz",
        ratings=ratings,
        embedding=in_8_bits(embed(tokens, vectors)),
        untrained=in_8_bits(embed(tokens, rng.normal(size=vectors.shape))),
        words=np.packbits(bags, axis=1),
    )


if __name__ == "__main__":
    main()
