#ifndef STROBE_LOWER_BLOCK_WALK_H
#define STROBE_LOWER_BLOCK_WALK_H

/** \file
 * The order of the work, as plain loops and lets, where one statement walks the tiles
 * of one block of rows: on the CPU and in the general GPU kernels. */

#include "tile/TileProgram.h"

#include <functional>

namespace strobe {

/** The walk over the stream's tiles that meet [begin, end) of the pass' mask. Defines
 * "<stream>.lo" and "<stream>.hi" around the step. \p evaluate makes code of a bound,
 * which is the same for the whole block; \p step of the number of a tile. \p part: which
 * of the program's parts, if it has several. \p first: what is done under the corners of
 * the first tile, if there is one, before the walk. */
Halide::Internal::Stmt walk_tiles(const TileProgram &program, const StreamPass &pass,
                                  const std::function<Expr(const Expr &bound)> &evaluate,
                                  const std::function<Halide::Internal::Stmt(const Expr &tile)> &step,
                                  const Expr &part, const Halide::Internal::Stmt &first = {});

/** What comes before the walk, where rows start from sums ahead, if there are some. \p evaluate as for walk_tiles(); \p lower
 * makes code of the prologue whose partial operations are left out under a condition. */
Halide::Internal::Stmt before_walk(const StreamPass &pass, const std::function<Expr(const Expr &bound)> &evaluate,
                                   const std::function<Halide::Internal::Stmt(const Expr &full)> &lower);

/** Inside of a step that no tile skips: \p body under the corners of the next tile, if there is one. */
Halide::Internal::Stmt for_next_tile(const TileProgram &program, const Halide::Internal::Stmt &body);

/** The first of the points of a grid axis that a block has, an Int(32) Variable. */
Expr first_point(const std::string &axis);

/** Number of blocks of rows at one point of the grid. */
Expr row_blocks(const TileProgram &program);

/** Number of blocks of rows in all. */
Expr task_count(const TileProgram &program);

/** From the number of a task, an Int(32) Variable, to its point of the grid (of an axis of
 * which a block has several points: the first of them) and "<query>.lo" and "<query>.hi", around \p block. Blocks of the same head follow one
 * another: they share keys and values. */
Halide::Internal::Stmt at_task(const TileProgram &program, const std::string &task, const Halide::Internal::Stmt &block);

}  // namespace strobe

#endif
