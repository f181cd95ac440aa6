#ifndef STROBE_DRIVER_EXPLAIN_H
#define STROBE_DRIVER_EXPLAIN_H

/** \file
 * What was derived and chosen, and why, as text for people. */

#include "CompileGeneral.h"
#include "autoscheduler/Search.h"

namespace strobe {

/** The reductions with the reason of each rewrite, the mask and which tiles it
 * leaves, the schedule with its predicted clocks and resources, the runners-up and
 * what was rejected. Numbers are for the shape that \p choice was made for. */
std::string explain(const ReductionGraph &graph, const Plan &plan, const Capability &capability,
                    const ScheduleChoice &choice);

/** The same for the general form of a GPU kernel, whose tiles are not predicted but tried: \p choice holds the
 * choices, the schedule and the shape. \p because: why the warp-specialised form does not do. \p plans: of the package. */
std::string explain_general(const ReductionGraph &graph, const Plan &plan, const Capability &capability,
                            ScheduleChoice choice, const std::string &because,
                            const std::vector<GeneralPlan> &plans);

/** The kernels that a package holds, the lengths that each is for, and those that were not worth one. */
std::string explain(const ScheduleSet &set, const Plan &plan, const Capability &capability);

}  // namespace strobe

#endif
