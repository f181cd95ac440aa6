#ifndef STROBE_LOWER_CUDA_LINEAR_FORM_H
#define STROBE_LOWER_CUDA_LINEAR_FORM_H

/** \file
 * A value of a tile as a sum of coefficient * atom, where the coefficients (and
 * the constant) are the same for every element that a thread holds of a row, and
 * the atoms differ. Scores are mostly such sums; written this way their common
 * scale leaves the inner loop: max(c * s) = c * max(s), and exp(c * s - m) is one
 * fused multiply-add and one exponential. Float arithmetic is reassociated, as in
 * every flash kernel.
 */

#include "Halide.h"

#include <functional>
#include <vector>

namespace strobe::cuda {

struct Term {
    Halide::Expr coefficient, atom;
};

struct LinearForm {
    std::vector<Term> terms;
    Halide::Expr constant;  // 0 if none
};

/** \p differs: the Expr is not the same for all elements of a row.
 * \p stream_index, if not empty: an integer axis whose float value is an atom, the
 * Float(32) Variable "<axis>.float". */
LinearForm linear_form(const Halide::Expr &e, const std::function<bool(const Halide::Expr &)> &differs,
                       const std::string &stream_index);

/** An integer Expr as slope * axis + offset with a constant slope; false if it is not. */
bool integer_line(const Halide::Expr &e, const std::function<bool(const Halide::Expr &)> &differs,
                  const std::string &axis, int64_t &slope, Halide::Expr &offset);

/** coefficient * value, without the multiplication by 1 or of 0. */
Halide::Expr scaled(const Halide::Expr &coefficient, const Halide::Expr &value);

}  // namespace strobe::cuda

#endif
