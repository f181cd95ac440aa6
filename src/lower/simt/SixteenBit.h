#ifndef STROBE_LOWER_SIMT_SIXTEEN_BIT_H
#define STROBE_LOWER_SIMT_SIXTEEN_BIT_H

/** \file
 * fp16 and bf16 in kernels: elements are their bits, a uint16, and arithmetic is
 * float32's, each result rounded. Halide's PTX code generator has no bf16, and
 * emulates conversions that the machine has instructions for. */

#include "Halide.h"

namespace strobe::simt {

Halide::Internal::Stmt lower_16_bit_floats(const Halide::Internal::Stmt &s);

}  // namespace strobe::simt

#endif
