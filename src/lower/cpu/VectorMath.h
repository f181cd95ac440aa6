#ifndef STROBE_LOWER_CPU_VECTOR_MATH_H
#define STROBE_LOWER_CPU_VECTOR_MATH_H

/** \file
 * Elementwise arithmetic made ready for the CPU's vector units. */

#include "Halide.h"

namespace strobe::cpu {

/** \p e with IEEE semantics for infinities (a masked score is -inf, and Halide's
 * default arithmetic assumes that there are none), and with exp, log and tanh of
 * float32 and exp of float64 written out as polynomials that vectorise: errors of at
 * most 3 ulp, exp flushes results under 2^-125 (2^-1021) to 0. \p fused: the machine has fused multiply-adds. */
Halide::Expr vector_math(const Halide::Expr &e, bool fused);

}  // namespace strobe::cpu

#endif
