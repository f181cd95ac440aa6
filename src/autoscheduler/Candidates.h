#ifndef STROBE_AUTOSCHEDULER_CANDIDATES_H
#define STROBE_AUTOSCHEDULER_CANDIDATES_H

/** \file
 * The choices that are worth predicting: every combination of tile sizes, warp
 * roles, stages and turns that a directive could express, around what is given. */

#include "schedule/CheckSchedule.h"

#include <set>

namespace strobe {

/** \p base: choices that hold what was given; \p given: names of the directives that
 * fixed some of them, see complete_choices. Not all of them need be legal. */
std::vector<Choices> enumerate_choices(const Choices &base, const std::set<std::string> &given,
                                       const Capability &capability, const Workload &work, const Plan &plan);

}  // namespace strobe

#endif
