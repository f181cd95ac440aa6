#ifndef STROBE_LOWER_CUDA_COVERAGE_H
#define STROBE_LOWER_CUDA_COVERAGE_H

/** \file
 * Which tile programs the warp-specialised form computes. */

#include "tile/TileProgram.h"

#include <optional>

namespace strobe::cuda {

/** Rows of an operand that lie in pages: the index of dimension `dim` is the row modulo `rows`, and the row's
 * quotient by it chooses the page through the other indices. */
struct Pages {
    int dim = 0, rows = 0;
};

/** Whether the load's rows along `axis` lie in pages that tiles of `tile` rows consist of. */
std::optional<Pages> pages_of(const Halide::Internal::Call *load, const std::string &axis, int tile);

/** The first thing in the program that the form has no place for, in words; empty if
 * there is none. Sizes of tiles are not looked at. */
std::optional<std::string> outside_of_form(const TileProgram &program);

}  // namespace strobe::cuda

#endif
