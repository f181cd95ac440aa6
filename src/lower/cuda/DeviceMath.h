#ifndef STROBE_LOWER_CUDA_DEVICE_MATH_H
#define STROBE_LOWER_CUDA_DEVICE_MATH_H

/** \file
 * Functions and reductions of float32 values as the hardware's own instructions, and what can be proved of a value's
 * sign, which decides between them.
 */

#include "Code.h"
#include "tile/TileProgram.h"

#include <vector>

namespace strobe::cuda {

const double log2_e = 1.4426950408889634074;

Expr minus_infinity();

/** A call of the math function `name`, "exp" say, of a float32. */
bool is_math(const Halide::Internal::Call *op, const char *name);

/** Calls any math function: of those that take a multiprocessor's few special-function units. */
bool calls_math(const Expr &e);

/** The call of the hardware's own function for a math function, null if there is none. */
Expr math_call(const Halide::Internal::Call *op, const std::vector<Expr> &args);

/** The row-wise maximum, minimum or sum of two values, as machine instructions. */
Expr combined(ReduceOp op, const Expr &a, const Expr &b);

/** Provably positive, from declared ranges of scalars. */
bool positive(const Expr &e);

/** Provably greater than some positive constant, or NaN: sums of such and of exponentials. */
bool above_zero(const Expr &e);
/** In the same way, not less than 1. */
bool at_least_one(const Expr &e);

/** Denominators from 1 to 2^63 times this are 2^-63 to 1: two of them have a product, and that a reciprocal. */
const float reciprocal_scale = 1.0842021724855044e-19f;

}  // namespace strobe::cuda

#endif
