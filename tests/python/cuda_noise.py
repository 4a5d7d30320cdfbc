"""torch.randn of a CUDA generator, in numpy: written from the papers and from ATen/native/cuda/DistributionTemplates.h,
without a look at the program's own."""

import math

import numpy as np
import torch

A5000 = (64, 1536)  # multiprocessors, threads of each
BLOCK = 256


def philox_4x32(counter: np.ndarray, key: np.ndarray, rounds: int = 10) -> np.ndarray:
    """Salmon et al. 2011, section 3.3: `counter` [4, N] and `key` [2, N] of 32-bit words, the words [4, N]."""
    mask = np.uint64(0xFFFFFFFF)
    c0, c1, c2, c3 = (words.astype(np.uint64) for words in counter)
    k0, k1 = (words.astype(np.uint64) for words in key)
    for _ in range(rounds):
        left, right = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (right >> 32) ^ c1 ^ k0, right & mask, (left >> 32) ^ c3 ^ k1, left & mask
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def normals(words: np.ndarray) -> np.ndarray:
    """Box and Muller: each pair of words a sine and a cosine; [4, N] in double, of angles and radii rounded to fp32."""
    pairs = []
    for radius, angle in (words[:2], words[2:]):
        u = (radius.astype(np.float32).astype(float) * 2.0**-32 + 2.0**-33).astype(np.float32).astype(float)
        unit = float(np.float32(2.0**-32) * np.float32(2 * math.pi))
        v = (angle.astype(np.float32).astype(float) * unit + unit / 2).astype(np.float32).astype(float)
        length = np.sqrt(-2 * np.log(u))
        pairs += [length * np.sin(v), length * np.cos(v)]
    return np.stack(pairs)


class CudaNoise:
    """A torch.Generator("cuda") of a GPU of the given size, as far as normal noise goes."""

    def __init__(self, seed: int, gpu: tuple[int, int] = A5000):
        self.seed, self.calls = seed, 0
        self.most_blocks = gpu[0] * (gpu[1] // BLOCK)

    def randn(self, shape) -> torch.Tensor:
        count = math.prod(shape)
        grid = BLOCK * min(-(-count // BLOCK), self.most_blocks)
        place = np.arange(count)
        thread, lap = place % grid, place // grid
        call = self.calls + lap // 4
        words = lambda values: (values.astype(np.uint64) & 0xFFFFFFFF, values.astype(np.uint64) >> 32)  # noqa: E731
        counter = np.stack([*words(call), *words(thread)])
        key = np.stack([np.full(count, self.seed & 0xFFFFFFFF), np.full(count, self.seed >> 32)])
        numbers = normals(philox_4x32(counter, key))[lap % 4, place]
        self.calls += -(-count // (4 * grid))
        return torch.from_numpy(numbers.astype(np.float32)).reshape(tuple(shape))
