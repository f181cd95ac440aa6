#ifndef STROBE_LOWER_CUDA_QUOTIENTS_H
#define STROBE_LOWER_CUDA_QUOTIENTS_H

/** \file
 * Integer quotients and remainders by a divisor that is the same in the whole kernel: a
 * multiplication by its reciprocal and one correction, instead of the twenty
 * instructions of a division. Granlund and Montgomery, "Division by invariant integers
 * using multiplication", 1994. */

#include "Halide.h"

namespace strobe::cuda {

/** floor((2^32 - 1) / by), for by > 0. With m this number and 0 <= x < 2^32 the upper half of x * m is
 * floor(x / by) or one less: x / by exceeds x * m / 2^32 by at most x / 2^32 < 1. */
Halide::Expr reciprocal_of(const Halide::Expr &by);

/** n / by and n % by as Halide rounds them, down; by > 0, and n >= 0 if \p nonnegative. */
Halide::Expr quotient_by(const Halide::Expr &n, const Halide::Expr &by, const Halide::Expr &reciprocal, bool nonnegative);
Halide::Expr remainder_by(const Halide::Expr &n, const Halide::Expr &by, const Halide::Expr &reciprocal, bool nonnegative);

}  // namespace strobe::cuda

#endif
