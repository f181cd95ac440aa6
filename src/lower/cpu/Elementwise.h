#ifndef STROBE_LOWER_CPU_ELEMENTWISE_H
#define STROBE_LOWER_CPU_ELEMENTWISE_H

/** \file
 * Map, Fill and Reduce: loops over the tile with vectors along the innermost
 * dimension. Neighbouring ops over the same elements share one loop nest, so that
 * a score is scaled, masked and reduced while it is in a register. */

#include "Context.h"

namespace strobe::cpu {

/** How many ops from \p first on can share a loop nest; at least 1. ops[first] is a Map, Fill or Reduce. */
size_t group_length(const Context &context, const std::vector<TileOp> &ops, size_t first);

/** The loop nest of \p group; \p full is Bool: leave out the ops for partial tiles. */
Halide::Internal::Stmt lower_group(const Context &context, const std::vector<TileOp> &group, const Expr &full);

/** A Scan: element after element along its axis. */
Halide::Internal::Stmt lower_scan(const Context &context, const TileOp &op);

}  // namespace strobe::cpu

#endif
