"""What `gpu_kernels.py` measures: every op at its sizes, ours and those of others."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from kernels import attention, bias_gelu, consistency, maxsim, pool_norm, residual_norm, similarity, token_stats
from kernels.testing import assert_close
from kernels.tile import packed

CACHE = 150 << 20  # bytes to rotate through: more than twice the second-level cache of an H200
DEVICE = "cuda"
HALF = torch.bfloat16

Call = Callable[[int], object]
"""Runs a variant on the i-th set of inputs."""


@dataclass(frozen=True, slots=True)
class Case:
    """One op at one size: what it must do at the least, and who does it."""

    op: str
    size: str
    flops: float
    bytes: float
    variants: dict[str, Call]
    sets: int
    verify: Callable[[], None]


def rotated(make: Callable[[], tuple[Tensor, ...]]) -> list[tuple[Tensor, ...]]:
    first = make()
    size = sum(t.nbytes for t in first)
    return [first, *(make() for _ in range(min(max(CACHE // max(size, 1), 1), 15)))]


def cases(only: Sequence[str], *, tune: bool) -> Iterator[Case]:
    for name in only:
        yield from MAKERS[name](tune)


def unit(rows: int, d: int) -> Tensor:
    return functional.normalize(torch.randn(rows, d, device=DEVICE), dim=1).to(HALF)


def lengths(pairs: int, longest: int, *, ragged: bool) -> Tensor:
    return torch.randint(1, longest + 1, (pairs,)) if ragged else torch.full((pairs,), longest)


def maxsim_cases(tune: bool) -> Iterator[Case]:
    sizes = [
        (1, 256, 2048, 384, False), (8, 256, 2048, 384, True), (64, 32, 8192, 384, False), (64, 128, 1024, 384, True),
        (256, 256, 2048, 384, True), (256, 256, 2048, 384, False), (256, 512, 4096, 384, False),
        (1024, 128, 512, 384, True), (256, 256, 2048, 128, True), (256, 256, 2048, 256, False),
        (64, 256, 2048, 768, False),
    ]  # fmt: skip
    for size in sizes:
        yield maxsim_case(*size, tune=tune)


def maxsim_case(pairs: int, lr: int, lc: int, d: int, ragged: bool, *, tune: bool) -> Case:
    responses, contexts = lengths(pairs, lr, ragged=ragged), lengths(pairs, lc, ragged=ragged)
    ends = packed(responses, DEVICE), packed(contexts, DEVICE)
    total = int(responses.sum()), int(contexts.sum())
    sets = rotated(lambda: (unit(total[0], d), unit(total[1], d)))
    more = maxsim.Extras(torch.rand(total[0], device=DEVICE), torch.tensor([0.5, 0.6, 0.7, 0.8], device=DEVICE))
    longest = int(responses.max()), int(contexts.max())

    def ours(i: int, extras: maxsim.Extras = more, tiling: maxsim.Tiling | None = None) -> maxsim.Stats:
        return maxsim.ragged_maxsim_stats(*sets[i], *ends, extras, longest=longest, tiling=tiling)

    def verify() -> None:
        got, (r, c) = ours(0), sets[0]
        assert_close(got.best, maxsim.ragged_maxsim_stats_torch(r, c, *ends, more).best,
                     maxsim.ragged_maxsim_stats_torch(r.float(), c.float(), *ends, more).best)  # fmt: skip
        again = ours(0)
        if not (torch.equal(got.best, again.best) and torch.equal(got.missing, again.missing)):
            raise AssertionError("two runs differ")

    variants: dict[str, Call] = {"ours": ours, "ours, normalising": partial(ours, extras=maxsim.Extras(normalise=True))}
    eight = [tuple(similarity.quantised(x.float(), torch.float8_e4m3fn) for x in s) for s in sets]
    variants["ours, fp8"] = lambda i: maxsim.ragged_maxsim_stats(
        eight[i][0].vectors, eight[i][1].vectors, *ends,
        maxsim.Extras(more.weights, more.taus, r_scale=eight[i][0].scale, c_scale=eight[i][1].scale), longest=longest,
    )  # fmt: skip
    if tune:
        cuts = [maxsim.Tiling(rows, columns, warps, stages) for rows in (64, 128) for columns in (32, 64, 128, 256)
                for warps in (4, 8) for stages in (2, 3, 4)]  # fmt: skip
        variants |= {f"ours, {c.rows}x{c.columns} w{c.warps} s{c.stages}": partial(ours, tiling=c) for c in cuts}
    variants |= padded_variants(sets, responses, contexts) | rival_variants(sets, ends, longest)
    flops = 2.0 * d * float((responses.double() * contexts.double()).sum())
    moved = 2.0 * d * sum(total) + 20 * total[0]
    size = f"{pairs}x{lr}x{lc}x{d} {'ragged' if ragged else 'dense'}"
    return Case("maxsim", size, flops, moved, variants, len(sets), verify)


def padded_variants(sets: list[tuple[Tensor, ...]], responses: Tensor, contexts: Tensor) -> dict[str, Call]:
    """Padded beforehand, and that not timed. Maximum and its place, no statistics."""

    def pad(x: Tensor, sizes: Tensor) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(torch.split(x, sizes.tolist()), batch_first=True)

    ready = [(pad(r, responses), pad(c, contexts).transpose(1, 2).contiguous()) for r, c in sets[:2]]
    mask = (torch.arange(int(contexts.max()))[None, :] >= contexts[:, None])[:, None, :].to(DEVICE)

    def plain(r: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.bmm(r, c).masked_fill(mask, -torch.inf)
        return scores.amax(2), scores.argmax(2)

    compiled = torch.compile(plain, mode="max-autotune-no-cudagraphs", dynamic=False)
    return {
        "bmm, mask, amax, argmax": lambda i: plain(*ready[i % 2]),
        "the same compiled": lambda i: compiled(*ready[i % 2]),
    }


def rival_variants(
    sets: list[tuple[Tensor, ...]], ends: tuple[Tensor, Tensor], longest: tuple[int, int]
) -> dict[str, Call]:
    """Both give one sum a pair: no maximum a token, no place, no statistics."""
    found: dict[str, Call] = {}
    if (flash := optional("flash_maxsim.flash_maxsim_varlen")) is not None:
        found["flash-maxsim varlen"] = lambda i: flash.flash_maxsim_varlen(*sets[i], *ends, *longest)
    if (late := optional("late_interaction_kernels.score_pairs")) is not None:
        every = torch.arange(len(ends[0]) - 1, dtype=torch.int32, device=DEVICE)
        found["late-interaction-kernels pairs"] = lambda i: late.score_pairs_packed(
            *sets[i], *ends, every, every, max_seqlen_q=longest[0], max_seqlen_d=longest[1]
        )
    return found


def optional(module: str) -> object | None:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def pool_cases(_: bool) -> Iterator[Case]:
    for tokens, longest in ((1_000_000, 60), (1_000_000, 256)):
        ends = packed(lengths(2 * tokens // longest, longest, ragged=True), DEVICE)
        x = torch.randn(int(ends[-1]), 384, device=DEVICE, dtype=HALF)
        ids = torch.repeat_interleave(torch.arange(len(ends) - 1, device=DEVICE), ends.diff(), output_size=len(x))

        def ours(_: int, x: Tensor = x, ends: Tensor = ends) -> object:
            return pool_norm.pool_norm(x, ends, tokens=True)

        def plain(_: int, x: Tensor = x, ids: Tensor = ids, n: int = len(ends) - 1) -> object:
            sums = torch.zeros(n, 384, device=DEVICE).index_add_(0, ids, x.float())
            return functional.normalize(sums, dim=1).to(HALF), functional.normalize(x.float(), dim=1).to(HALF)

        def verify(x: Tensor = x, ends: Tensor = ends) -> None:
            assert_close(pool_norm.pool_norm(x, ends)[0], pool_norm.pool_norm_torch(x, ends)[0],
                         pool_norm.pool_norm_torch(x, ends, dtype=torch.float32)[0])  # fmt: skip

        moved = 2.0 * 384 * (2 * len(x) + len(ends))
        yield Case("pool_norm", f"{len(x)} tokens, segments to {longest}", 4.0 * x.numel(), moved,
                   {"ours": ours, "index_add, normalize, cast": plain}, 1, verify)  # fmt: skip


def similarity_cases(_: bool) -> Iterator[Case]:
    bank = unit(1_000_000, 384)
    forms = {"bf16": similarity.Rows(bank)} | {
        name: similarity.quantised(bank, dtype) for name, dtype in (("int8", torch.int8), ("fp8", torch.float8_e4m3fn))
    }
    for queries in (1, 16, 64):
        asked = bank[:queries].clone()
        for name, rows in forms.items():
            q = similarity.Rows(asked) if name == "bf16" else similarity.quantised(asked, rows.vectors.dtype)

            def ours(_: int, q: similarity.Rows = q, rows: similarity.Rows = rows) -> object:
                return similarity.similarity_topk(q, rows, 8)

            def verify(q: similarity.Rows = q, rows: similarity.Rows = rows, asked: Tensor = asked) -> None:
                got, plain = similarity.similarity_topk(q, rows, 8), similarity.similarity_topk_torch(q, rows, 8)
                exact = similarity.similarity_topk_torch(
                    similarity.Rows(asked.float()), similarity.Rows(bank.float()), 8
                )
                assert_close(got.values, plain.values, exact.values)

            variants: dict[str, Call] = {"ours": ours}
            if name == "bf16":
                variants["matmul, topk"] = lambda _, q=q: (q.vectors @ bank.T).topk(8)
            yield Case("similarity", f"{queries} queries, 1M x 384 {name}", 2.0 * queries * bank.numel(),
                       float(rows.vectors.nbytes), variants, 1, verify)  # fmt: skip


def consistency_cases(_: bool) -> Iterator[Case]:
    for prompts, n, longest in ((1, 8, 256), (64, 8, 256), (64, 16, 512)):
        sizes = lengths(prompts * n, longest, ragged=True)
        x, ends = unit(int(sizes.sum()), 384), packed(sizes, DEVICE)
        per = sizes.view(prompts, n).double().sum(1)

        def ours(_: int, x: Tensor = x, ends: Tensor = ends, n: int = n) -> object:
            return consistency.pairwise_consistency(x, ends, n, 0.5)

        def verify(x: Tensor = x, ends: Tensor = ends, n: int = n) -> None:
            got = consistency.pairwise_consistency(x, ends, n, 0.5)
            assert_close(got.maxsim, consistency.pairwise_consistency_torch(x, ends, n, 0.5).maxsim,
                         consistency.pairwise_consistency_torch(x.float(), ends, n, 0.5).maxsim)  # fmt: skip

        yield Case("consistency", f"{prompts} prompts, {n} samples to {longest}", 2.0 * 384 * float((per**2).sum()),
                   2.0 * x.numel(), {"ours": ours}, 1, verify)  # fmt: skip


def token_cases(_: bool) -> Iterator[Case]:
    for tokens, width, k in ((512, 131072, 5), (2048, 32000, 5), (512, 131072, 20)):
        z = torch.randn(tokens, width, device=DEVICE, dtype=HALF) * 3
        chosen = torch.randint(0, width, (tokens,), device=DEVICE)

        def ours(_: int, z: Tensor = z, chosen: Tensor = chosen, k: int = k) -> object:
            return token_stats.token_stats(z, chosen, k)

        plain = partial(token_stats.token_stats_torch, z, chosen, k)
        compiled = torch.compile(plain, mode="max-autotune-no-cudagraphs")

        def verify(z: Tensor = z, chosen: Tensor = chosen, k: int = k) -> None:
            got, truth = token_stats.token_stats(z, chosen, k), token_stats.token_stats_torch(z.double(), chosen, k)
            assert_close(got.entropy, token_stats.token_stats_torch(z, chosen, k).entropy, truth.entropy)

        variants: dict[str, Call] = {
            "ours": ours,
            "log_softmax, sums, topk": lambda _, f=plain: f(),
            "the same compiled": lambda _, f=compiled: f(),
        }
        yield Case("token_stats", f"{tokens}x{width} top {k}", 5.0 * z.numel(), float(z.nbytes), variants, 1, verify)


def encoder_cases(_: bool) -> Iterator[Case]:
    sizes = lengths(512, 256, ragged=True)
    ends, total = packed(sizes, DEVICE), int(sizes.sum())
    qkv = torch.randn(total, 3, 12, 32, device=DEVICE, dtype=HALF)
    longest = int(sizes.max())
    nested = torch.nested.nested_tensor_from_jagged(qkv.flatten(1), ends.long())

    def jagged(_: int) -> Tensor:
        q, k, v = (t.unflatten(-1, (12, 32)).transpose(1, 2) for t in nested.chunk(3, dim=-1))
        return functional.scaled_dot_product_attention(q, k, v)

    yield Case(
        "attention", f"{total} tokens, windows to 256, 12 x 32", 4.0 * 384 * float((sizes.double() ** 2).sum()),
        8.0 * 384 * total,
        {"ours": lambda _: attention.varlen_attention(qkv, ends, longest=longest), "jagged sdpa": jagged}, 1,
        lambda: assert_close(attention.varlen_attention(qkv, ends), attention.varlen_attention_torch(qkv, ends),
                             attention.varlen_attention_torch(qkv.float(), ends)),
    )  # fmt: skip
    wide, bias = torch.randn(total, 1536, device=DEVICE, dtype=HALF), torch.randn(1536, device=DEVICE, dtype=HALF)
    yield Case(
        "bias_gelu", f"{total}x1536", 10.0 * wide.numel(), 2.0 * wide.nbytes,
        {"ours": lambda _: bias_gelu.bias_gelu(wide, bias),
         "torch": lambda _: bias_gelu.bias_gelu_torch(wide, bias)}, 1,
        lambda: assert_close(bias_gelu.bias_gelu(wide, bias), bias_gelu.bias_gelu_torch(wide, bias),
                             bias_gelu.bias_gelu_torch(wide.float(), bias.float())),
    )  # fmt: skip
    x, rest, small = (torch.randn(n, 384, device=DEVICE, dtype=HALF) for n in (total, total, 3))
    learnt = residual_norm.Norm(small[0], small[1], 1e-12)
    exact = residual_norm.Norm(small[0].float(), small[1].float(), 1e-12)
    yield Case(
        "residual_norm", f"{total}x384", 8.0 * x.numel(), 3.0 * x.nbytes,
        {"ours": lambda _: residual_norm.residual_norm(x, small[2], rest, learnt),
         "torch": lambda _: residual_norm.residual_norm_torch(x, small[2], rest, learnt)}, 1,
        lambda: assert_close(residual_norm.residual_norm(x, small[2], rest, learnt),
                             residual_norm.residual_norm_torch(x, small[2], rest, learnt),
                             residual_norm.residual_norm_torch(x.float(), small[2].float(), rest.float(), exact)),
    )  # fmt: skip


MAKERS: dict[str, Callable[[bool], Iterator[Case]]] = {
    "maxsim": maxsim_cases,
    "similarity": similarity_cases,
    "pool_norm": pool_cases,
    "token_stats": token_cases,
    "consistency": consistency_cases,
    "encoder": encoder_cases,
}
