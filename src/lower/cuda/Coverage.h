#ifndef STROBE_LOWER_CUDA_COVERAGE_H
#define STROBE_LOWER_CUDA_COVERAGE_H

/** \file
 * Which tile programs the warp-specialised form computes. */

#include "tile/TileProgram.h"

#include <optional>

namespace strobe::cuda {

/** The first thing in the program that the form has no place for, in words; empty if
 * there is none. Sizes of tiles are not looked at. */
std::optional<std::string> outside_of_form(const TileProgram &program);

}  // namespace strobe::cuda

#endif
