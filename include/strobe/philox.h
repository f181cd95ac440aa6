#ifndef STROBE_PHILOX_H
#define STROBE_PHILOX_H

/** \file
 * Counter-based random numbers (Philox 4x32-10; Salmon et al., SC 2011): a pure
 * function of a counter and a key, so that a random number does not depend on who
 * computes it, when, or how often. */

#include "Halide.h"

namespace strobe {

/** The first of the four words of Philox 4x32-10 for the counter (c0, c1, c2, c3) and the key (key, 0). */
inline Halide::Expr philox(Halide::Expr c0, Halide::Expr c1, Halide::Expr c2, Halide::Expr c3, Halide::Expr key) {
    using Halide::Expr;
    const auto word = [](const Expr &e) { return Halide::cast<uint32_t>(e); };
    const auto high = [&](const Expr &a, uint32_t b) {
        return word((Halide::cast<uint64_t>(a) * Halide::cast<uint64_t>(Expr(b))) >> Expr(uint64_t(32)));
    };
    c0 = word(c0), c1 = word(c1), c2 = word(c2), c3 = word(c3);
    Expr k0 = word(key), k1 = Expr(uint32_t(0));
    for (int round = 0; round < 10; round++) {
        const Expr high0 = high(c0, 0xD2511F53u), low0 = c0 * Expr(0xD2511F53u);
        const Expr high1 = high(c2, 0xCD9E8D57u), low1 = c2 * Expr(0xCD9E8D57u);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 = k0 + Expr(0x9E3779B9u);
        k1 = k1 + Expr(0xBB67AE85u);
    }
    return c0;
}

/** Uniform in [0, 1), a multiple of 2^-24. */
inline Halide::Expr uniform(const Halide::Expr &c0, const Halide::Expr &c1, const Halide::Expr &c2,
                            const Halide::Expr &c3, const Halide::Expr &key) {
    return Halide::cast<float>(philox(c0, c1, c2, c3, key) >> Halide::Expr(uint32_t(8))) * (1.0f / 16777216.0f);
}

}  // namespace strobe

#endif
