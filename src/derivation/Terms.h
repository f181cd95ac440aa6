#ifndef STROBE_DERIVATION_TERMS_H
#define STROBE_DERIVATION_TERMS_H

/** \file
 * Values of the algebra: sums of terms
 *
 *     coefficient * exp(scale) * [guard] factor * exp(power)
 *
 * whose first half is free of the stream (it may use moments, pivots and what
 * earlier passes left) and whose second half is not. The value of a reduction has
 * first halves only. Exponents cancel symbolically, so that a factor such as
 * exp(s - m) / sum exp(s - m) loses its m without anybody knowing what m was. */

#include "LinearForm.h"

#include <optional>
#include <set>

namespace strobe {

struct Term {
    Expr coefficient;         // undefined: 1
    LinearForm scale;         // 0
    std::vector<Expr> guard;  // all must hold, else the term is 0
    Expr factor;              // undefined: 1
    Expr power;               // undefined: 0
    /** It comes from a sum of the stream with an earlier result, such as v - mean:
     * apart, such terms can be large and cancel. */
    bool offset = false;
    bool is_free() const {
        return guard.empty() && !factor.defined() && !power.defined();
    }
};

using Terms = std::vector<Term>;

/** Variables that are known to be >= 0: sums of exponentials. */
using Nonnegative = std::set<std::string>;

/** Adds coefficients of terms that are otherwise equal. \p t: their type. */
Terms collected(const Terms &terms, Type t);
Terms product(const Terms &a, const Terms &b);
Terms negated(Terms terms, Type t);
Terms converted(Terms terms, Type t);

/** coefficient * exp(scale), both free of the stream: \p terms as one term. Several
 * exponents are measured from their maximum, which is always safe. */
Term as_one_term(const Terms &terms, Type t);

/** n / d for a d of one term. Where d is a sum that can only be 0 if nothing was
 * added to it, the quotient is 0 too. Nothing if d cannot be divided by. */
std::optional<Terms> quotient(const Terms &n, const Terms &d, Type t, const Nonnegative &known);
/** log of a positive d. */
std::optional<Terms> logarithm(const Terms &d, Type t);

/** select(row, a, b) for a condition free of the stream: it moves into the coefficients. */
Terms selected(const Expr &row, const Terms &a, const Terms &b, Type t);

/** The Expr of terms that are all free of the stream. */
Expr materialised(const Terms &terms, Type t);

}  // namespace strobe

#endif
