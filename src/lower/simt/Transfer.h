#ifndef STROBE_LOWER_SIMT_TRANSFER_H
#define STROBE_LOWER_SIMT_TRANSFER_H

/** \file
 * Load: an input's elements into shared memory, 0 outside the axes' domains. Where a
 * row's elements lie together and at multiples of 16 bytes, which is known when the
 * kernel runs, 16 bytes at a time and past the registers; else one by one. */

#include "Context.h"

namespace strobe::simt {

/** The elements may still be under way when the statement ends. */
Stmt lower_load(const Context &context, const TileOp &op);

/** That all tiles whose rows may lie at multiples of 16 bytes do. */
Expr all_rows_are_wide(const Context &context);

/** Makes a group of all loads that are under way and in none. */
Stmt commit_loads(const Context &context);

/** Waits for what the threads themselves load, but for so many groups, the last ones. On a
 * CPU, where nothing is under way, loads past the registers are only made here. */
Stmt finish_loads(const Context &context, const std::vector<TileOp> &loads, int pending = 0);

}  // namespace strobe::simt

#endif
