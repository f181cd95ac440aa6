#ifndef STROBE_AUTOSCHEDULER_TILE_VISITS_H
#define STROBE_AUTOSCHEDULER_TILE_VISITS_H

/** \file
 * How many tiles of the stream a block visits, and how many of them are partial,
 * found by evaluating the mask's verdict at the corners of sample tiles. */

#include "Shape.h"

namespace strobe {

struct TileVisits {
    int64_t blocks_of_rows = 0;   // along the query axis
    int64_t tiles = 0;            // along the stream
    double mean = 0;              // visited by a block, over all blocks
    double first = 0, last = 0;   // by the first and the last block of rows
    double partial = 0;           // fraction of the visited ones that carry the mask's code
    bool data_dependent = false;  // the verdict needs data: no tile is assumed dead
};

/** \p shape must be complete. */
TileVisits count_visits(const ReductionGraph &graph, const Plan &plan, const MaskVerdict &mask, const Shape &shape,
                        int query_tile, int stream_tile, bool skip_dead = true);

/** The value of an integer or Boolean Expr; nothing if it needs what is not in
 * \p variables. A false operand of && and a true one of || decide alone. */
std::optional<int64_t> evaluate(const Expr &e, const std::map<std::string, int64_t> &variables);

}  // namespace strobe

#endif
