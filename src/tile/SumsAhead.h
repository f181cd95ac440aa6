#ifndef STROBE_TILE_SUMS_AHEAD_H
#define STROBE_TILE_SUMS_AHEAD_H

/** \file
 * The program that makes the sums of a second separation (rule R8): a plan of its own, whose rows are the
 * features that scores were contracted over, whose stream is the same, and whose grid has the chunks of the
 * stream as one more axis. */

#include "TileBuilder.h"

namespace strobe {

/** The program for plan.second and these choices. */
std::shared_ptr<const SumsAhead> build_sums_ahead(const TileBuilder &builder, const std::map<std::string, int> &sizes);

/** The array in which the sum of one of the plan's moments lies. */
const Output &array_of(const SumsAhead &ahead, const Plan &plan, const Moment &moment);

}  // namespace strobe

#endif
