#ifndef STROBE_LOWER_CPU_INPUT_ELEMENTS_H
#define STROBE_LOWER_CPU_INPUT_ELEMENTS_H

/** \file
 * Loads of input elements inside the Exprs of a tile program. */

#include "lower/InputLoads.h"
#include "tile/TileProgram.h"

namespace strobe::cpu {

/** The Image Call that \p e is, or is a cast of; else null. */
const Halide::Internal::Call *image_call(const Expr &e);

/** The dimension of the input whose index advances by one with \p axis, where no
 * other index depends on it; else -1. */
int dimension_along(const Halide::Internal::Call *call, const std::string &axis);

/** \p program with input elements that elementwise code reads along one or two axes loaded into tiles first, because
 * only a Load moves vectors whatever the strides are, and with outputs of rows and features computed as tiles before
 * they are stored, because only a Store of a tile transposes it. */
TileProgram with_tiles_for_transfers(const TileProgram &program);

}  // namespace strobe::cpu

#endif
