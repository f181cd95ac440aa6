#ifndef STROBE_TILE_SPLIT_PRODUCT_H
#define STROBE_TILE_SPLIT_PRODUCT_H

/** \file
 * Takes products apart, to find the two operands of a contraction. */

#include "Halide.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace strobe {

/** Which axes an Expr depends on. */
using AxesIn = std::function<std::set<std::string>(const Halide::Expr &)>;

/** A product of factors whose first group uses the axis and the second does not. */
struct SplitProduct {
    std::vector<Halide::Expr> with, without;
};

/** e as a product, split by whether a factor depends on \p axis. A quotient's
 * denominator counts as a factor when it is free of the axis. */
SplitProduct split_product(const Halide::Expr &e, const std::string &axis, const AxesIn &axes_in);

/** The product of the factors; undefined for none. */
Halide::Expr product_of(const std::vector<Halide::Expr> &factors);

/** e without casts that keep every value (float to a wider float, small integer to
 * float), when what is left is an element of an input; else null. */
const Halide::Internal::Call *plain_load(const Halide::Expr &e);

/** bfloat16 or float16. */
bool is_narrow_float(Halide::Type t);

/** What a contraction must round its operands to, so that it computes the
 * algorithm's own product: the operands' type if both are the same narrow float,
 * else the type of the accumulator. */
Halide::Type operand_type_of(Halide::Type a, Halide::Type b, Halide::Type accumulator);

}  // namespace strobe

#endif
