#ifndef STROBE_LOWER_SIMT_DEVICE_MATH_H
#define STROBE_LOWER_SIMT_DEVICE_MATH_H

/** \file
 * exp and tanh of float32 for a GPU. Halide's PTX code generator has versions that
 * lose NaN, or more than the last bits. */

#include "Halide.h"

namespace strobe::simt {

/** \p e with exp and tanh written out: errors of at most 4 ulp, results of exp below
 * the least normal number are 0, NaN stays NaN. */
Halide::Expr device_math(const Halide::Expr &e);

}  // namespace strobe::simt

#endif
