#ifndef STROBE_LOWER_SUMMARY_TABLES_H
#define STROBE_LOWER_SUMMARY_TABLES_H

/** \file
 * Tables of the summaries that verdicts on data-dependent masks read: one entry for
 * every tile of the stream and every point of the grid axes that the data depend on.
 * The same for all backends; how a table is filled is each one's own. */

#include "tile/TileProgram.h"

namespace strobe {

/** All summaries of the program's masks, each name once. */
std::vector<Summary> summaries_of(const TileProgram &program);

/** The grid axes that the summary's load is indexed by, in the program's order. */
std::vector<Axis> axes_of(const Summary &summary, const TileProgram &program);

/** Number of tiles of the stream. */
Expr stream_tiles(const TileProgram &program);

/** Number of entries of a summary over the stream. */
Expr table_size(const Summary &summary, const TileProgram &program);

/** The entry of \p tile at the current point of the grid, whose axes are Variables. */
Expr table_entry(const Summary &summary, const TileProgram &program, const Expr &tile);

}  // namespace strobe

#endif
