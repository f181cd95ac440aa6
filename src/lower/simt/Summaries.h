#ifndef STROBE_LOWER_SIMT_SUMMARIES_H
#define STROBE_LOWER_SIMT_SUMMARIES_H

/** \file
 * The least and greatest value of an input over a tile, for verdicts on
 * data-dependent masks. Those over the stream's tiles are computed by a kernel of
 * their own into a table, in time and memory linear in the stream; those over a
 * block's rows at its start. */

#include "Context.h"

namespace strobe::simt {

/** The array that holds the summaries of the stream's tiles: least, greatest, ... of
 * every entry of the table. */
std::string table_of(const Summary &summary);

/** The threads of a block of the kernel that fills the table. */
constexpr int summary_threads = 32;
/** What one block does: the pair of entry `entry`, an Int(32) Variable. */
Stmt summary_block(const Context &context, const Summary &summary, const std::string &entry);

/** Defines the summaries over the block's rows around \p body. */
Stmt with_query_summaries(const Context &context, const Stmt &body);
/** Defines the summaries of tile \p tile of the stream around \p body. */
Stmt with_tile_summaries(const Context &context, const Expr &tile, const Stmt &body);

/** Wraps allocations of an array of the block around \p body. */
Stmt allocate_shared(const std::string &name, Type type, int64_t elements, const Stmt &body);

}  // namespace strobe::simt

#endif
