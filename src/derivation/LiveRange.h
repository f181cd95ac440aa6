#ifndef STROBE_DERIVATION_LIVE_RANGE_H
#define STROBE_DERIVATION_LIVE_RANGE_H

/** \file
 * Solves a mask for the stream's coordinate: which keys can be live for a block of
 * rows. */

#include "BoundMasks.h"

namespace strobe {

/** Fills begin, end and contiguous of \p verdict from its guard. What cannot be
 * solved leaves the range wider than need be, never narrower. */
void solve_live_range(const ReductionGraph &graph, const Roles &roles, MaskVerdict &verdict);

}  // namespace strobe

#endif
