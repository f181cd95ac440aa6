#ifndef STROBE_DRIVER_EXPLAIN_H
#define STROBE_DRIVER_EXPLAIN_H

/** \file
 * What was derived and chosen, and why, as text for people. */

#include "autoscheduler/Search.h"

namespace strobe {

/** The reductions with the reason of each rewrite, the mask and which tiles it
 * leaves, the schedule with its predicted clocks and resources, the runners-up and
 * what was rejected. Numbers are for the shape that \p choice was made for. */
std::string explain(const ReductionGraph &graph, const Plan &plan, const Capability &capability,
                    const ScheduleChoice &choice);

}  // namespace strobe

#endif
