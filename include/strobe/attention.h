#ifndef STROBE_ATTENTION_H
#define STROBE_ATTENTION_H

/** \file
 * Building blocks of attention as plain Halide: each function returns a Func or
 * an Expr without any schedule, and the compiler treats it like one written by
 * hand. Compose them, replace any of them, or write bare Funcs instead.
 *
 * Tensors have the dimensions (d, s, h, b): feature (innermost), position, head,
 * batch. Algorithms are Exprs over Vars of these names:
 *
 *     d  feature        i  query position (row)       h  head of the query
 *     b  batch          j  key position (column)
 *
 * All arithmetic is in float32, whatever the tensors hold.
 */

#include "Halide.h"

#include <limits>

namespace strobe {

/** A (d, s, h, b) tensor: an ImageParam, a Buffer, or a generator's Input<Buffer<>>. */
struct Tensor {
    Halide::Func element;  // element(d, s, h, b)
    Halide::Expr features, length, heads, batches;

    template<typename Source>
    Tensor(const Source &source)
        : element(Halide::Func(source)), features(source.dim(0).extent()), length(source.dim(1).extent()),
          heads(source.dim(2).extent()), batches(source.dim(3).extent()) {
    }
};

/** The head of \p shared that serves head \p h of \p query: with fewer key than
 * query heads, each serves a group of consecutive query heads (grouped-query
 * attention, arXiv:2305.13245; one key head is multi-query attention). The
 * number of query heads must be a multiple of the other. */
inline Halide::Expr grouped(const Halide::Expr &h, const Tensor &query, const Tensor &shared) {
    return h / (query.heads / shared.heads);
}

/** scores(j, i, h, b) = sum over d of q(d, i, h, b) * k(d, j, grouped(h), b).
 *
 * q is (D, Sq, H, B), k is (D, Sk, H / group, B). Not scaled: multiply by
 * 1 / sqrt(D), or whatever the model uses (arXiv:1706.03762, section 3.2.1). */
inline Halide::Func scores(const Tensor &q, const Tensor &k) {
    Halide::Var i("i"), j("j"), h("h"), b("b");
    Halide::RDom d(0, q.features, "d");
    Halide::Func scores("scores");
    scores(j, i, h, b) +=
        Halide::cast<float>(q.element(d, i, h, b)) * Halide::cast<float>(k.element(d, j, grouped(h, q, k), b));
    return scores;
}

/** s where mask holds, else -inf: the value that neither a maximum nor a sum of
 * exponentials notices. */
inline Halide::Expr where(const Halide::Expr &mask, const Halide::Expr &s) {
    return Halide::select(mask, s, Halide::cast(s.type(), -std::numeric_limits<float>::infinity()));
}

/** \name Masks
 * Conditions under which query i may see key j. Positions of queries and keys
 * count from 0 at the same place, also when there are fewer queries than keys
 * (as FlexAttention's mask_mod and PyTorch's is_causal do; FlashAttention aligns
 * the ends instead: pass i + (Sk - Sq) for that). */
// @{
/** No later key: j <= i. */
inline Halide::Expr causal(const Halide::Expr &i, const Halide::Expr &j) {
    return j <= i;
}

/** No later key, and none more than `back` positions before (arXiv:2004.05150). */
inline Halide::Expr sliding_window(const Halide::Expr &i, const Halide::Expr &j, const Halide::Expr &back) {
    return j <= i && i - j <= back;
}

/** All see the first `length` keys, otherwise causal (prefix LM, arXiv:1910.10683). */
inline Halide::Expr prefix(const Halide::Expr &i, const Halide::Expr &j, const Halide::Expr &length) {
    return j < length || j <= i;
}

/** Only keys of the same document. \p document is a (s, b) tensor of integers. */
template<typename Source>
Halide::Expr same_document(const Source &document, const Halide::Expr &i, const Halide::Expr &j,
                           const Halide::Expr &b) {
    return document(i, b) == document(j, b);
}

/** No key further away than `reach`, and of those every `step`-th (arXiv:2004.05150, section 3.1). */
inline Halide::Expr dilated_window(const Halide::Expr &i, const Halide::Expr &j, const Halide::Expr &reach,
                                   const Halide::Expr &step) {
    return Halide::abs(i - j) <= reach && (i - j) % step == 0;
}

/** A window around the query; the first `global` positions see all and are seen by all (arXiv:2004.05150). */
inline Halide::Expr global_window(const Halide::Expr &i, const Halide::Expr &j, const Halide::Expr &reach,
                                  const Halide::Expr &global) {
    return Halide::abs(i - j) <= reach || i < global || j < global;
}

/** Positions are the cells of a grid, row by row, `width` in a row: only keys at most
 * `reach` cells away in both directions (neighbourhood attention, arXiv:2204.07143). */
inline Halide::Expr neighbourhood(const Halide::Expr &i, const Halide::Expr &j, const Halide::Expr &width,
                                  const Halide::Expr &reach) {
    return Halide::abs(i / width - j / width) <= reach && Halide::abs(i % width - j % width) <= reach;
}

/** The sequence is a noisy copy of `length` positions followed by a clean one, both in
 * blocks: noisy blocks see themselves and all earlier clean ones, clean blocks see
 * clean ones up to themselves (block diffusion, arXiv:2503.09573). */
inline Halide::Expr block_diffusion(const Halide::Expr &i, const Halide::Expr &j, const Halide::Expr &length,
                                    const Halide::Expr &block) {
    const Halide::Expr clean_i = i >= length, clean_j = j >= length;
    const Halide::Expr block_i = (i % length) / block, block_j = (j % length) / block;
    return (!clean_i && !clean_j && block_i == block_j) || (!clean_i && clean_j && block_j < block_i) ||
           (clean_i && clean_j && block_j <= block_i);
}
// @}

/** Scores capped smoothly to (-cap, cap): cap * tanh(s / cap) (Gemma 2, arXiv:2408.00118). */
inline Halide::Expr softcap(const Halide::Expr &s, const Halide::Expr &cap) {
    return cap * Halide::tanh(s / cap);
}

/** Linear bias: slope * (j - i), one slope a head (ALiBi, arXiv:2108.12409). */
inline Halide::Expr alibi(const Halide::Expr &i, const Halide::Expr &j, const Halide::Expr &slope) {
    return slope * Halide::cast<float>(j - i);
}

struct Softmax {
    Halide::Func weights;  // (j, i, h, b), each row sums to 1, or to 0 if it sees no key
    Halide::Func lse;      // (i, h, b), natural logarithm of the sum of exp(s)
};

/** Softmax of s, an Expr over j, i, h, b, along j = 0 ... keys - 1:
 *
 *     row_max = max over j of s           weights = exp(s - row_max) / row_sum
 *     row_sum = sum over j of exp(s - row_max)      lse = row_max + log(row_sum)
 *
 * A row whose every s is -inf has weights 0 and lse -inf, never NaN.
 *
 * With a \p sink, an Expr over i, h, b, one more element takes part in the maximum and
 * the sum, and in nothing else: an attention sink (a learned logit a head,
 * arXiv:2508.10925), or softmax plus one if it is 0. */
inline Softmax softmax(const Halide::Expr &s, const Halide::Expr &keys, const Halide::Expr &sink = Halide::Expr()) {
    Halide::Var i("i"), j("j"), h("h"), b("b");
    Halide::RDom all(0, keys, "j");
    Halide::Func score("score"), row_max("row_max"), exponential("exponential"), row_sum("row_sum");
    Softmax result{Halide::Func("weights"), Halide::Func("row_lse")};

    score(j, i, h, b) = s;
    row_max(i, h, b) = sink.defined() ? sink : Halide::Expr(-std::numeric_limits<float>::infinity());
    row_max(i, h, b) = Halide::max(row_max(i, h, b), score(all, i, h, b));

    // A finite pivot, so that a row without keys has exp(-inf), not exp(-inf + inf).
    Halide::Expr pivot = Halide::max(row_max(i, h, b), std::numeric_limits<float>::lowest());
    exponential(j, i, h, b) = Halide::exp(score(j, i, h, b) - pivot);
    row_sum(i, h, b) = sink.defined() ? Halide::exp(sink - pivot) : Halide::Expr(0.0f);
    row_sum(i, h, b) += exponential(all, i, h, b);

    Halide::Expr sum = row_sum(i, h, b);
    result.weights(j, i, h, b) = Halide::select(sum == 0, 0.0f, exponential(j, i, h, b) / sum);
    result.lse(i, h, b) = pivot + Halide::log(sum);
    return result;
}

/** t(d, s, h, b) divided by the root of the mean square of its features, times weights(d, which)
 * (RMSNorm, arXiv:1910.07467). */
template<typename Source>
Halide::Func normalised(const Tensor &t, const Source &weights, int which) {
    Halide::Var d("d"), s("s"), h("h"), b("b");
    Halide::RDom c(0, t.features, "c");
    Halide::Func squares("squares"), normalised("normalised");
    squares(s, h, b) += Halide::pow(Halide::cast<float>(t.element(c, s, h, b)), 2);
    normalised(d, s, h, b) = Halide::cast<float>(t.element(d, s, h, b)) *
                             (1.0f / Halide::sqrt(squares(s, h, b) / Halide::cast<float>(t.features) + 1e-6f)) *
                             weights(d, which);
    return normalised;
}

/** t(d, s, h, b) with feature d and the one half of the features away rotated by the angle of
 * position s (arXiv:2104.09864, as in Llama). cosine and sine are (d, s) tensors, \p features even. */
template<typename Source>
Halide::Func rotated(const Halide::Func &t, const Source &cosine, const Source &sine, int features) {
    Halide::Var d("d"), s("s"), h("h"), b("b");
    Halide::Func rotated("rotated");
    Halide::Expr partner = t((d + features / 2) % features, s, h, b);
    rotated(d, s, h, b) =
        t(d, s, h, b) * cosine(d, s) + Halide::select(d < features / 2, -partner, partner) * sine(d, s);
    return rotated;
}

/** 1 / (1 + exp(-x)). */
inline Halide::Expr sigmoid(const Halide::Expr &x) {
    return 1.0f / (1.0f + Halide::exp(-x));
}

/** weighted_sum(d, i, h, b) = sum over j of weights(j, i, h, b) * v(d, j, grouped(h), b).
 *
 * v is (Dv, Sk, H / group, B); \p query gives the number of query heads. */
inline Halide::Func weighted_sum(const Halide::Func &weights, const Tensor &v, const Tensor &query) {
    Halide::Var d("d"), i("i"), h("h"), b("b");
    Halide::RDom j(0, v.length, "j");
    Halide::Func weighted_sum("weighted_sum");
    weighted_sum(d, i, h, b) += weights(j, i, h, b) * Halide::cast<float>(v.element(d, j, grouped(h, query, v), b));
    return weighted_sum;
}

/** The `count` greatest of s, an Expr over j, i, h, b, along j = 0 ... keys - 1, sorted, and what \p kept,
 * another such Expr, is there: a Tuple over (i, h, b), first the greatest values, then what belongs to
 * them. Of equal values the first counts. Where there are not that many above -inf, -inf and -1. */
inline Halide::Func greatest(const Halide::Expr &s, const Halide::Expr &kept, const Halide::Expr &keys, int count) {
    Halide::Var i("i"), j("j"), h("h"), b("b");
    Halide::RDom all(0, keys, "j");
    Halide::Func score("score"), other("kept"), greatest("greatest");
    score(j, i, h, b) = s;
    other(j, i, h, b) = kept;
    std::vector<Halide::Expr> none(count, -std::numeric_limits<float>::infinity()), now;
    none.resize(2 * count, Halide::cast(kept.type(), -1));
    greatest(i, h, b) = Halide::Tuple(none);
    const auto at = [&](int n) { return Halide::Expr(greatest(i, h, b)[n]); };
    const Halide::Expr x = score(all, i, h, b);
    for (int n = 0; n < 2 * count; n++) {  // what is new takes its place, and moves the others down
        const int rank = n % count;
        const Halide::Expr fresh = n < count ? x : Halide::Expr(other(all, i, h, b));
        const Halide::Expr from_above = rank == 0 ? fresh : Halide::select(x > at(rank - 1), at(n - 1), fresh);
        now.push_back(Halide::select(x > at(rank), from_above, at(n)));
    }
    greatest(i, h, b) = Halide::Tuple(now);
    return greatest;
}

}  // namespace strobe

#endif
