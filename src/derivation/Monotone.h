#ifndef STROBE_DERIVATION_MONOTONE_H
#define STROBE_DERIVATION_MONOTONE_H

/** \file
 * Rule R4: the greatest of f(x_j), where f is nondecreasing and depends on earlier results, is
 * f of the greatest x_j; if f is nonincreasing, f of the least. `or` and `and` are the greatest
 * and the least of false < true, so that any(x_j > rho) is (max x_j) > rho. Over no element
 * the result is the identity whatever f is. */

#include "DerivePass.h"

#include <optional>

namespace strobe {

/** How an Expr depends on its one part that is of the stream alone. */
struct Monotone {
    Expr core;           // undefined: the Expr is free of the stream
    bool rising = true;  // else falling
    bool strict = true;  // different cores give different values
};

/** Nothing if \p e is not known to be monotone in one part. */
std::optional<Monotone> monotone_in_stream(Separator &separator, const Expr &e, const Nonnegative &known);

/** \p e with \p value in the place of its core, over moments and pivots. */
Expr with_core(Separator &separator, const Expr &e, const Expr &core, const Expr &value);

/** The value of \p r, a max, min, and, or, whose body is monotone. Adds nothing if it is not. */
std::optional<Terms> extreme_of_monotone(Draft &draft, const Reduction &r, Separator &separator, int pass,
                                         std::vector<Fact> &facts);

/** Takes what \p body is where it counts out of select(c, x, identity), c || x and c && x. \p guard
 * gets the conditions, which are free of results of the same pass. */
Expr without_identity(const Separator &separator, ReduceOp op, Expr body, std::vector<Expr> &guard);

}  // namespace strobe

#endif
