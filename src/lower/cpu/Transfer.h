#ifndef STROBE_LOWER_CPU_TRANSFER_H
#define STROBE_LOWER_CPU_TRANSFER_H

/** \file
 * Load and Store: between tiles and the caller's buffers, whose strides are known
 * only at run time. Dense rows move as vectors, a transposed tile goes through
 * registers block by block, anything else element by element. */

#include "Context.h"

namespace strobe::cpu {

/** Fills dst with input elements, and with 0 beyond the axes' domains. */
Halide::Internal::Stmt lower_load(const Context &context, const TileOp &op);

/** Writes an output's elements inside its domain, each once. */
Halide::Internal::Stmt lower_store(const Context &context, const TileOp &op);

}  // namespace strobe::cpu

#endif
