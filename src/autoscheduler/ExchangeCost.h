#ifndef STROBE_AUTOSCHEDULER_EXCHANGE_COST_H
#define STROBE_AUTOSCHEDULER_EXCHANGE_COST_H

/** \file
 * What it costs to sum over the stream first (rule R8), beside walking it for each row. */

#include "Shape.h"

namespace strobe {

/** Multiply-adds of one row, on average. */
struct ExchangeCost {
    double walked = 0;    // where every row walks what it sees of the stream
    double own_walk = 0;  // exchanged: of the tiles that a row's own block still walks,
    double sums = 0;      // of the sums ahead, a row's share,
    double reading = 0;   // and of contracting its features with them
    double ahead() const {
        return own_walk + sums + reading;
    }
};

/** For a plan that separates a second time, at complete sizes and for blocks of so many rows. */
ExchangeCost exchange_cost(const Plan &plan, const Shape &shape, int query_tile);

/** Exchanging takes less at the middle one of these shapes, if a multiply-add takes \p slower times as long then. */
bool exchange_pays(const ReductionGraph &graph, const Plan &plan, const std::vector<Shape> &shapes, double slower);

}  // namespace strobe

#endif
