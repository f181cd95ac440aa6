#ifndef STROBE_DRIVER_REFERENCE_H
#define STROBE_DRIVER_REFERENCE_H

/** \file
 * What every schedule and backend is compared with: the algorithm itself, run by
 * Halide on the CPU without Strobe. */

#include "tile/TileProgram.h"

#include <vector>

namespace strobe {

/** Gives every Func with an update definition a compute_root() and leaves the
 * rest inline: Halide's plainest legal schedule. Intermediates take O(Sq * Sk). */
void compute_reductions_at_root(const std::vector<Halide::Func> &outputs);

/** The same algorithm in float64: every floating-point type, literal, load and
 * library call is widened, so that roundings on the way are gone. The new Funcs
 * have no schedule; they read the same inputs. */
std::vector<Halide::Func> widen_to_float64(const std::vector<Halide::Func> &outputs);

/** The same algorithm with the operands of its products in the tensors' type, as where
 * nothing is fused and every intermediate is a tensor: where a sum of products has one
 * factor of 16-bit floats, the other is rounded to that type, and both where \p program
 * contracts operands that it rounds. In such a computation the roundings that a tile
 * program declares take their effect, however the outputs depend on them. */
std::vector<Halide::Func> round_operands(const std::vector<Halide::Func> &outputs, const TileProgram &program);

/** The same algorithm. Halide 21 may compute an element of a Tuple from another one as it is after an
 * update instead of before if floats are strict; in all Funcs made here no element is updated before those that
 * read it. */
std::vector<Halide::Func> as_they_are(const std::vector<Halide::Func> &outputs);

/** The target on which references run: the host, where NaN and infinities mean
 * what IEEE 754 says. */
Halide::Target reference_target();

}  // namespace strobe

#endif
