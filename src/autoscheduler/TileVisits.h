#ifndef STROBE_AUTOSCHEDULER_TILE_VISITS_H
#define STROBE_AUTOSCHEDULER_TILE_VISITS_H

/** \file
 * How many tiles of the stream are visited, and how many of them are partial, found
 * by evaluating the mask's verdict at the corners of sample tiles. */

#include "Shape.h"

namespace strobe {

/** A block of rows is computed by groups of rows side by side: on a GPU one for each
 * warpgroup, which walks only the part of the block's tiles that its own rows meet;
 * on a CPU one for each strip of rows. */
struct TileVisits {
    int group_rows = 0;
    int64_t blocks_of_rows = 0;    // along the query axis
    int64_t tiles = 0;             // along the stream
    double mean = 0;               // visited by a group, over all groups
    double of_block = 0;           // visited by any group of a block, over all blocks
    double first = 0, last = 0;    // by the groups of the first and the last block of rows
    double groups = 1;             // of a block, on average: the last one may have fewer rows
    double longest = 0;            // by one group of the first or the last block, the most
    std::vector<double> together;  // [k]: of a block's tiles, those that exactly k groups visit
    int skew = 0;                  // most tiles that a block visits and one of its groups does not
    double partial = 0;            // fraction of the visited ones that carry the mask's code
    bool judged = false;           // each tile of the solved range is judged, for it may be dead
    bool data_dependent = false;   // the verdict needs data: see assumed_documents
};

/** What a mask over data is assumed to leave of each row, if it can rule tiles out: this share of the keys, in one
 * run, as documents do; in scattered blocks, where all that it asks of a key is the number of its block. Only the
 * ranking of schedules depends on it. */
constexpr int assumed_documents = 12;

/** \p shape must be complete; \p query_tile is a multiple of \p group_rows. */
TileVisits count_visits(const ReductionGraph &graph, const Plan &plan, const MaskVerdict &mask, const Shape &shape,
                        int query_tile, int group_rows, int stream_tile, bool skip_dead = true);

/** The value of an integer or Boolean Expr; nothing if it needs what is not in
 * \p variables. A false operand of && and a true one of || decide alone. */
std::optional<int64_t> evaluate(const Expr &e, const std::map<std::string, int64_t> &variables);

}  // namespace strobe

#endif
