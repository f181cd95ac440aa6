#ifndef STROBE_LOWER_CPU_SUMMARIES_H
#define STROBE_LOWER_CPU_SUMMARIES_H

/** \file
 * The least and greatest value of an input over each tile, for verdicts on
 * data-dependent masks. Those over the stream's tiles are computed before all
 * blocks, in time and memory linear in the stream; those over the block's own rows
 * at its start. */

#include "Context.h"

namespace strobe::cpu {

/** Computes the stream's summaries into arrays that live around \p body. */
Halide::Internal::Stmt with_stream_summaries(const Context &context, const Halide::Internal::Stmt &body);

/** Defines the rows' summaries around \p body, for the current block. */
Halide::Internal::Stmt with_query_summaries(const Context &context, const Halide::Internal::Stmt &body);

/** Defines the stream's summaries of tile \p tile around \p body. */
Halide::Internal::Stmt with_tile_summaries(const Context &context, const Expr &tile, const Halide::Internal::Stmt &body);

}  // namespace strobe::cpu

#endif
