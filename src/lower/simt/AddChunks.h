#ifndef STROBE_LOWER_SIMT_ADD_CHUNKS_H
#define STROBE_LOWER_SIMT_ADD_CHUNKS_H

/** \file
 * Sums ahead, once those of the chunks are there: each becomes that of all chunks up to it. */

#include "Context.h"

namespace strobe::simt {

/** Threads of a block: an element each. */
constexpr int sum_threads = 256;

/** Blocks that share the elements of one array at one point of the grid. */
int pieces_of(const SumsAhead &ahead, const Output &array);

/** What the block does whose number is the Variable \p unit: a piece of one point of the grid. */
Stmt chunk_block(const SumsAhead &ahead, const Output &array, const std::string &unit);

}  // namespace strobe::simt

#endif
