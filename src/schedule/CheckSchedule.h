#ifndef STROBE_SCHEDULE_CHECK_SCHEDULE_H
#define STROBE_SCHEDULE_CHECK_SCHEDULE_H

/** \file
 * Turns a schedule into the choices that the later stages follow, or refuses it
 * with the directive, the reason and what would be legal. Last stage that knows
 * directives.
 *
 * Axes and Funcs are named as in the algorithm; the "$n" that Halide appends to
 * make a name unique may be left out where that is not ambiguous. What a schedule
 * leaves open is filled so that the result is legal; the automatic scheduler
 * (autoscheduler/Search.h) fills it with what it predicts to be fast.
 */

#include "Footprint.h"

#include <optional>

namespace strobe {

/** Throws UserError. \p warnings collects what is legal but has no effect. */
Choices check_schedule(const Schedule &schedule, const ReductionGraph &graph, const Plan &plan,
                       const Capability &capability, const AxisSizes &sizes = {},
                       std::vector<std::string> *warnings = nullptr);

/** Why the machine cannot run these choices. */
struct Refusal {
    std::vector<std::string> directives;  // that could be at fault, the likeliest first
    std::string reason;
    std::string legal;
};
std::optional<Refusal> check_resources(const Workload &work, const Choices &choices, const Capability &capability);

/** The directives that give these choices, for the names of this plan. */
Schedule schedule_of(const Choices &choices, const ReductionGraph &graph, const Plan &plan, const Workload &work,
                     const Capability &capability);

}  // namespace strobe

#endif
